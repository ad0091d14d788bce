//! The parameters of the six kinds of Redis triggers.

use crate::parameters::{Parameter, Place};
use crate::tls::{CA, CERT, KEY, KEY_PASSWORD, UNSAFE_SSL};

pub(super) const ADDRESS: Parameter =
    Parameter::list("address", "address of the server, host:port").from(Place::Either);
pub(super) const HOST: Parameter =
    Parameter::list("host", "host of the server, with port, instead of address")
        .from(Place::Either);
pub(super) const PORT: Parameter =
    Parameter::list("port", "port of the server, with host").from(Place::Either);
pub(super) const ADDRESSES: Parameter =
    Parameter::list("addresses", "addresses of nodes or sentinels, host:port").from(Place::Either);
pub(super) const HOSTS: Parameter = Parameter::list(
    "hosts",
    "hosts of nodes or sentinels, with ports, instead of addresses",
)
.from(Place::Either);
pub(super) const PORTS: Parameter =
    Parameter::list("ports", "a port for each of hosts").from(Place::Either);
const ADDRESS_OF_MANY: Parameter =
    Parameter::list("address", "the same as addresses").from(Place::Either);
const HOST_OF_MANY: Parameter = Parameter::list("host", "the same as hosts").from(Place::Either);
const PORT_OF_MANY: Parameter = Parameter::list("port", "the same as ports").from(Place::Either);
const ADDRESSES_OF_ONE: Parameter =
    Parameter::list("addresses", "the same as address").from(Place::Either);
const HOSTS_OF_ONE: Parameter = Parameter::list("hosts", "the same as host").from(Place::Either);
const PORTS_OF_ONE: Parameter = Parameter::list("ports", "the same as port").from(Place::Either);
/// KEDA takes this spelling at Redis alone.
pub(super) const CERT_CAPITAL: Parameter = Parameter::secret("Cert", "the same as cert");
pub(super) const USERNAME: Parameter =
    Parameter::text("username", "user of the ACL").from(Place::Either);
pub(super) const PASSWORD: Parameter =
    Parameter::text("password", "password of the user").from(Place::Either);
pub(super) const SENTINEL_MASTER: Parameter = Parameter::text(
    "sentinelMaster",
    "the name under which the sentinels know the master",
)
.from(Place::Either)
.required();
pub(super) const SENTINEL_USERNAME: Parameter =
    Parameter::text("sentinelUsername", "user of the sentinels' ACL").from(Place::Either);
pub(super) const SENTINEL_PASSWORD: Parameter =
    Parameter::text("sentinelPassword", "password at the sentinels").from(Place::Either);
pub(super) const DATABASE_INDEX: Parameter =
    Parameter::integer("databaseIndex", 0, "the database; a cluster has 0 alone").default("0");
pub(super) const ENABLE_TLS: Parameter = Parameter::flag("enableTLS", "whether TLS is used");
pub(super) const TLS: Parameter = Parameter::choice(
    "tls",
    &["enable", "disable"],
    "whether TLS is used, instead of enableTLS",
)
.from(Place::Auth);

pub(super) const LIST_NAME: Parameter = Parameter::text(
    "listName",
    "key of a list, set, sorted set or hash whose elements are counted",
)
.required();
pub(super) const LIST_LENGTH: Parameter =
    Parameter::integer("listLength", 1, "elements that one replica carries").default("5");
pub(super) const ACTIVATION_LIST_LENGTH: Parameter =
    Parameter::integer("activationListLength", 0, "active above so many elements").default("0");

pub(super) const STREAM: Parameter = Parameter::text("stream", "key of the stream").required();
pub(super) const CONSUMER_GROUP: Parameter = Parameter::text(
    "consumerGroup",
    "the group whose pending entries or lag count; without it the stream's length counts",
);
pub(super) const PENDING_ENTRIES_COUNT: Parameter = Parameter::integer(
    "pendingEntriesCount",
    1,
    "entries delivered and not acknowledged that one replica carries",
)
.default("5");
pub(super) const STREAM_LENGTH: Parameter = Parameter::integer(
    "streamLength",
    1,
    "entries that one replica carries, without consumerGroup",
)
.default("5");
pub(super) const LAG_COUNT: Parameter = Parameter::integer(
    "lagCount",
    0,
    "entries not delivered to the group yet that one replica carries; above 0 the lag counts (Redis 7)",
);
pub(super) const ACTIVATION_LAG_COUNT: Parameter = Parameter::integer(
    "activationLagCount",
    0,
    "active above this, whichever of the three counts",
)
.default("0");
pub(super) const PUSH: Parameter = Parameter::flag(
    "push",
    "arrivals are followed on a connection of their own and wake at once (not of KEDA)",
);

macro_rules! table {
    ($name:ident: $($address:ident),+; $($own:ident),+; $($measured:ident),+) => {
        pub(super) const $name: &[Parameter] = &[
            $($address,)+
            $($measured,)+
            PUSH,
            DATABASE_INDEX,
            USERNAME,
            PASSWORD,
            $($own,)+
            ENABLE_TLS,
            UNSAFE_SSL,
            CA,
            CERT,
            CERT_CAPITAL,
            KEY,
            KEY_PASSWORD,
        ];
    };
}

table!(LISTS:
    ADDRESS, HOST, PORT, ADDRESSES_OF_ONE, HOSTS_OF_ONE, PORTS_OF_ONE;
    TLS;
    LIST_NAME, LIST_LENGTH, ACTIVATION_LIST_LENGTH);
table!(CLUSTER_LISTS:
    ADDRESSES, HOSTS, PORTS, ADDRESS_OF_MANY, HOST_OF_MANY, PORT_OF_MANY;
    TLS;
    LIST_NAME, LIST_LENGTH, ACTIVATION_LIST_LENGTH);
table!(SENTINEL_LISTS:
    ADDRESSES, HOSTS, PORTS, ADDRESS_OF_MANY, HOST_OF_MANY, PORT_OF_MANY;
    SENTINEL_MASTER, SENTINEL_USERNAME, SENTINEL_PASSWORD, TLS;
    LIST_NAME, LIST_LENGTH, ACTIVATION_LIST_LENGTH);
table!(STREAMS:
    ADDRESS, HOST, PORT, ADDRESSES_OF_ONE, HOSTS_OF_ONE, PORTS_OF_ONE;
    TLS;
    STREAM, CONSUMER_GROUP, PENDING_ENTRIES_COUNT, STREAM_LENGTH, LAG_COUNT, ACTIVATION_LAG_COUNT);
table!(CLUSTER_STREAMS:
    ADDRESSES, HOSTS, PORTS, ADDRESS_OF_MANY, HOST_OF_MANY, PORT_OF_MANY;
    TLS;
    STREAM, CONSUMER_GROUP, PENDING_ENTRIES_COUNT, STREAM_LENGTH, LAG_COUNT, ACTIVATION_LAG_COUNT);
table!(SENTINEL_STREAMS:
    ADDRESSES, HOSTS, PORTS, ADDRESS_OF_MANY, HOST_OF_MANY, PORT_OF_MANY;
    SENTINEL_MASTER, SENTINEL_USERNAME, SENTINEL_PASSWORD, TLS;
    STREAM, CONSUMER_GROUP, PENDING_ENTRIES_COUNT, STREAM_LENGTH, LAG_COUNT, ACTIVATION_LAG_COUNT);
