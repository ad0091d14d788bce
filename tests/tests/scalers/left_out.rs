//! Where the parameters of types that are built in are not KEDA's, and why. The page of parameters is made of it, too.

/// The three types of Redis lists, and the three of streams.
const REDIS: &[&str] = &[
    "redis",
    "redis-cluster",
    "redis-sentinel",
    "redis-streams",
    "redis-cluster-streams",
    "redis-sentinel-streams",
];

/// Parameters of KEDA's that we do not read: of which types, which, and why.
pub(crate) const LEFT_OUT: &[(&[&str], &[&str], &str)] = &[
    (
        &["metrics-api"],
        &[
            "clientID",
            "clientSecret",
            "customAuthHeader",
            "customAuthValue",
            "endpointParams",
            "oauthTokenURI",
            "scope",
            "scopes",
        ],
        "KEDA shares them among types and refuses them here",
    ),
    (
        &["mysql"],
        &["metricName"],
        "KEDA reads it and does not use it",
    ),
    (
        &["prometheus"],
        &["apiKey", "keyParamName", "method"],
        "KEDA shares them among types and does not use them here",
    ),
    (
        &["rabbitmq"],
        &["authMode", "authModes", "scope"],
        "OAuth2 is not supported; nothing else can be chosen by them",
    ),
    (
        &["rabbitmq"],
        &[
            "apiKey",
            "bearerToken",
            "customAuthHeader",
            "customAuthValue",
            "keyParamName",
            "method",
            "token",
        ],
        "KEDA shares them among types and refuses them here",
    ),
    (
        &[
            "redis",
            "redis-cluster",
            "redis-streams",
            "redis-cluster-streams",
        ],
        &["sentinelMaster", "sentinelPassword", "sentinelUsername"],
        "KEDA shares them among types; there is no sentinel here",
    ),
];

/// Parameters of ours that KEDA does not have.
pub(crate) const OURS: &[(&[&str], &[&str], &str)] = &[
    (
        &["apache-kafka"],
        &["fullMetadata", "unsafeSsl", "version"],
        "both types are one client here",
    ),
    (
        &["mysql"],
        &["ca", "cert", "key", "tls"],
        "KEDA takes TLS from the connection string alone",
    ),
    (
        &["nats-jetstream"],
        &[
            "push",
            "natsServer",
            "subject",
            "username",
            "password",
            "token",
            "unsafeSsl",
            "ca",
            "cert",
            "key",
            "keyPassword",
        ],
        "a wake-up before the next poll",
    ),
    (
        &["postgresql"],
        &["ca", "cert", "key"],
        "KEDA's are files that the connection string names",
    ),
    (
        &["postgresql"],
        &["push", "channel"],
        "a wake-up before the next poll",
    ),
    (REDIS, &["push"], "a wake-up before the next poll"),
    (
        &["nats-jetstream"],
        &[
            "push",
            "natsServer",
            "subject",
            "username",
            "password",
            "token",
            "unsafeSsl",
            "ca",
            "cert",
            "key",
            "keyPassword",
        ],
        "a wake-up before the next poll",
    ),
];

/// Other differences, in the words of the comparison.
pub(crate) const DIFFERENT: &[(&[&str], &str, &str)] = &[
    (
        &["kafka"],
        "fullMetadata: default true, ours false",
        "it has no effect here",
    ),
    (
        &["kafka"],
        "sasl: default nothing, ours none",
        "not said there, and none by the code",
    ),
    (
        &["apache-kafka", "kafka"],
        "sasl: no choice gssapi",
        "Kerberos is not built in",
    ),
    (
        &["apache-kafka"],
        "sasl: no choice aws_msk_iam",
        "AWS identities are not built in",
    ),
    (
        &["kafka"],
        "sasl: no choice oauthbearer",
        "SASL by OAuth tokens is not built in",
    ),
    (
        &["kubernetes-workload"],
        "value: required by us",
        "there, too, it has to be above 0",
    ),
    (
        &["metrics-api"],
        "targetValue: required by us",
        "there, too, where there is no formula",
    ),
    (
        &["postgresql"],
        "targetQueryValue: required by us",
        "there, too, where there is no formula",
    ),
    (
        &["rabbitmq"],
        "mode: default Unknown, ours nothing",
        "Unknown is KEDA's word for none",
    ),
    (
        &["redis-sentinel", "redis-sentinel-streams"],
        "sentinelMaster: required by us",
        "nobody else says which server is asked",
    ),
];
