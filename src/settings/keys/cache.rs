//! What is kept of routes: the memcached servers that gateposts share, and the process's own cache.

use super::*;
use crate::settings::Levels;

pub static KEYS: &[Key] = &[
    Key::new("memcache.servers", SERVERS, "[]", "The memcached servers that all gateposts share; none are those with `memcache.here`.")
        .at(Levels::GLOBAL)
        .ends_in(&["servers", "server"]),
    Key::new("memcache.here", Kind::Flag, "false", "Whether this server has a memcached for the others.")
        .ends_in(&["servers"]),
    Key::new("memcache.port", Kind::Port, "11211", "The port of its memcached.")
        .alias(&["zimbraMemcachedBindPort"])
        .ends_in(&["servers"]),
    Key::new("memcache.address", Kind::List(&Kind::Address), "[]", "The addresses of its memcached; none are those of its name.")
        .alias(&["zimbraMemcachedBindAddress"])
        .ends_in(&["servers"]),
    Key::new("memcache.timeout", short(1, 60_000), "\"3000ms\"", "How long one request to memcached may take. It is what a login may lose to a server that hangs.")
        .alias(&["zimbraReverseProxyCacheFetchTimeout"])
        .fills(vars![("memcache.timeout", Milliseconds)])
        .ends_in(&["timeout"]),
    Key::new("memcache.reconnect", short(100, 3_600_000), "\"60s\"", "For how long a memcached that failed is left alone.")
        .alias(&["zimbraReverseProxyCacheReconnectInterval"])
        .fills(vars![("memcache.reconnect", Milliseconds)])
        .ends_in(&["reconnect"]),
    Key::new("memcache.ttl", time(SECOND, 30 * DAY), "\"1h\"", "For how long routes are kept in memcached.")
        .alias(&["zimbraReverseProxyCacheEntryTTL"])
        .fills(vars![("memcache.ttl", Milliseconds)])
        .ends_in(&["ttl"]),
    Key::new("memcache.format", Kind::Choice(&["zimbra", "gatepost"]), "\"zimbra\"", "How routes are kept there: as Zimbra's proxy does, to share its cache, or sealed.")
        .at(Levels::GLOBAL)
        .ends_in(&["format"]),
    Key::new("memcache.key", Kind::SecretFile, "\"\"", "The file with the secret that what is kept is sealed by.")
        .at(Levels::GLOBAL)
        .ends_in(&["key"]),
    Key::new("memcache.connections", integer(1, 1024), "16", "How many connections a worker may have to one memcached.")
        .ends_in(&["connections"]),
    Key::new("cache.enabled", Kind::Flag, "true", "Whether routes are kept.")
        .ends_in(&["route_cache"]),
    Key::new("cache.size", bytes(1 << 20, 64 << 30), "\"64m\"", "How much memory they may take.")
        .ends_in(&["route_cache"]),
    Key::new("cache.ttl", time(SECOND, 30 * DAY), "\"1h\"", "For how long the process keeps a route.")
        .ends_in(&["route_cache"]),
    Key::new("cache.negative", time(0, HOUR), "\"5s\"", "For how long it keeps that there is no such user.")
        .ends_in(&["route_cache"]),
    Key::new("cache.stale", time(0, 30 * DAY), "\"1h\"", "For how much longer a route serves while no handler answers.")
        .ends_in(&["route_cache"]),
];
