//! The parameters of `kafka` and `apache-kafka` triggers.

use crate::parameters::{Parameter, Place};
pub(super) use crate::tls::{CA, CERT, KEY, KEY_PASSWORD, UNSAFE_SSL};

pub(super) const BOOTSTRAP_SERVERS: Parameter =
    Parameter::list("bootstrapServers", "addresses of brokers, host:port").required();
pub(super) const CONSUMER_GROUP: Parameter =
    Parameter::text("consumerGroup", "the group whose lag is measured").required();
pub(super) const TOPIC: Parameter = Parameter::text(
    "topic",
    "the topic; without it all topics for which the group committed offsets",
);
pub(super) const TOPICS: Parameter = Parameter::list(
    "topic",
    "the topics; without it all topics for which the group committed offsets",
);
pub(super) const PARTITION_LIMITATION: Parameter =
    Parameter::ranges("partitionLimitation", "only these partitions of the topic");
pub(super) const LAG_THRESHOLD: Parameter =
    Parameter::integer("lagThreshold", 1, "lag that one replica carries").default("10");
pub(super) const ACTIVATION_LAG_THRESHOLD: Parameter =
    Parameter::integer("activationLagThreshold", 0, "active above this lag").default("0");
pub(super) const OFFSET_RESET_POLICY: Parameter = Parameter::choice(
    "offsetResetPolicy",
    &["latest", "earliest"],
    "what a partition without committed offset counts",
)
.default("latest");
pub(super) const ALLOW_IDLE_CONSUMERS: Parameter =
    Parameter::flag("allowIdleConsumers", "more replicas than partitions");
pub(super) const EXCLUDE_PERSISTENT_LAG: Parameter = Parameter::flag(
    "excludePersistentLag",
    "partitions whose committed offset does not move count for activation alone",
);
pub(super) const SCALE_TO_ZERO_ON_INVALID_OFFSET: Parameter = Parameter::flag(
    "scaleToZeroOnInvalidOffset",
    "a partition without committed offset counts nothing",
);
pub(super) const LIMIT_TO_PARTITIONS_WITH_LAG: Parameter = Parameter::flag(
    "limitToPartitionsWithLag",
    "at most as many replicas as partitions with lag",
);
pub(super) const ENSURE_EVEN_DISTRIBUTION: Parameter = Parameter::flag(
    "ensureEvenDistributionOfPartitions",
    "only counts that divide the partitions evenly",
);
pub(super) const VERSION: Parameter =
    Parameter::text("version", "the protocol's version; agreed with the broker").ignored();
pub(super) const FULL_METADATA: Parameter =
    Parameter::flag("fullMetadata", "metadata of all topics is kept").ignored();
pub(super) const MECHANISMS: &[&str] = &["none", "plaintext", "scram_sha256", "scram_sha512"];
pub(super) const SASL: Parameter = Parameter::choice(
    "sasl",
    MECHANISMS,
    "the SASL mechanism; oauthbearer, gssapi and aws_msk_iam are refused",
)
.from(Place::Either)
.default("none");
pub(super) const USERNAME: Parameter = Parameter::secret("username", "user of the SASL mechanism");
pub(super) const PASSWORD: Parameter =
    Parameter::secret("password", "password of the SASL mechanism");
pub(super) const TLS: Parameter =
    Parameter::choice("tls", &["enable", "disable"], "whether TLS is used")
        .from(Place::Either)
        .default("disable");
/// Mechanisms of KEDA's that are not built in.
pub(super) const REFUSED_MECHANISMS: &[&str] = &["oauthbearer", "gssapi", "aws_msk_iam"];

const OAUTH: &str = "refused: SASL by OAuth tokens is not built in";
const KERBEROS: &str = "refused: Kerberos is not built in";

/// What these mechanisms need. Beside another one it has no effect, as in KEDA.
pub(super) const REFUSED: [Parameter; 11] = [
    Parameter::text("saslTokenProvider", OAUTH).from(Place::Either),
    Parameter::secret("scopes", OAUTH),
    Parameter::secret("oauthTokenEndpointUri", OAUTH),
    Parameter::secret("oauthExtensions", OAUTH),
    Parameter::secret("keytab", KERBEROS),
    Parameter::secret("ccacheName", KERBEROS),
    Parameter::secret("realm", KERBEROS),
    Parameter::secret("kerberosConfig", KERBEROS),
    Parameter::secret("kerberosServiceName", KERBEROS),
    Parameter::secret("kerberosDisableFAST", KERBEROS),
    AWS_REGION,
];
/// Of `apache-kafka`, which has no others in KEDA.
pub(super) const AWS_REGION: Parameter =
    Parameter::text("awsRegion", "refused: AWS identities are not built in");

/// Of `kafka`.
pub(super) const KAFKA: &[Parameter] = &[
    BOOTSTRAP_SERVERS,
    CONSUMER_GROUP,
    TOPIC,
    PARTITION_LIMITATION,
    LAG_THRESHOLD,
    ACTIVATION_LAG_THRESHOLD,
    OFFSET_RESET_POLICY,
    ALLOW_IDLE_CONSUMERS,
    EXCLUDE_PERSISTENT_LAG,
    SCALE_TO_ZERO_ON_INVALID_OFFSET,
    LIMIT_TO_PARTITIONS_WITH_LAG,
    ENSURE_EVEN_DISTRIBUTION,
    VERSION,
    FULL_METADATA,
    SASL,
    USERNAME,
    PASSWORD,
    TLS,
    UNSAFE_SSL,
    CA,
    CERT,
    KEY,
    KEY_PASSWORD,
    REFUSED[0],
    REFUSED[1],
    REFUSED[2],
    REFUSED[3],
    REFUSED[4],
    REFUSED[5],
    REFUSED[6],
    REFUSED[7],
    REFUSED[8],
    REFUSED[9],
    REFUSED[10],
];

/// Of `apache-kafka`.
pub(super) const APACHE_KAFKA: &[Parameter] = &[
    BOOTSTRAP_SERVERS,
    CONSUMER_GROUP,
    TOPICS,
    PARTITION_LIMITATION,
    LAG_THRESHOLD,
    ACTIVATION_LAG_THRESHOLD,
    OFFSET_RESET_POLICY,
    ALLOW_IDLE_CONSUMERS,
    EXCLUDE_PERSISTENT_LAG,
    SCALE_TO_ZERO_ON_INVALID_OFFSET,
    LIMIT_TO_PARTITIONS_WITH_LAG,
    ENSURE_EVEN_DISTRIBUTION,
    VERSION,
    FULL_METADATA,
    SASL,
    USERNAME,
    PASSWORD,
    TLS,
    UNSAFE_SSL,
    CA,
    CERT,
    KEY,
    KEY_PASSWORD,
    AWS_REGION,
];
