//! Envoy Gateway's chain becomes a listener that needs neither xDS nor a server of modules.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Module, chain};

fn dump(filters: &Value) -> Value {
    let manager = json!({
        "rds": {"config_source": {"ads": {}}, "route_config_name": "mcp/mcp/http"},
        "http_filters": filters, "access_log": [{"typed_config": {"path": "/dev/stdout"}}],
    });
    let listener = json!({
        "@type": "type", "name": "mcp/mcp/http", "address": {"socket_address": {"address": "0.0.0.0", "port_value": 80}},
        "default_filter_chain": {"filters": [{"typed_config": manager}]},
    });
    let eds =
        json!({"@type": "type", "name": "one", "type": "EDS", "eds_cluster_config": {"service_name": "one"}});
    json!({"configs": [
        {"@type": "x.ListenersConfigDump", "dynamic_listeners": [
            {"name": "mcp/mcp/http", "active_state": {"listener": listener}},
        ]},
        {"@type": "x.RoutesConfigDump", "dynamic_route_configs": [
            {"route_config": {"@type": "type", "name": "mcp/mcp/http"}},
        ]},
        {"@type": "x.ClustersConfigDump", "dynamic_active_clusters": [
            {"cluster": eds}, {"cluster": {"name": "wasm_cluster", "type": "STRICT_DNS"}},
        ]},
        {"@type": "x.EndpointsConfigDump", "dynamic_endpoint_configs": [
            {"endpoint_config": {"@type": "type", "cluster_name": "one", "endpoints": [1]}},
        ]},
    ]})
}

#[test]
fn routes_endpoints_and_the_module_stand_in_the_listener_itself() {
    let module = Module {
        file: PathBuf::from("filter.wasm"),
        sha256: "ab".to_owned(),
    };
    let dump = dump(&json!([{"code": {"remote": {"sha256": "ab"}}}]));
    let taken = chain(&dump, "installed", Some(&module)).unwrap();
    assert_eq!(
        taken.clusters,
        [
            json!({"name": "one", "type": "STATIC", "load_assignment": {"cluster_name": "one", "endpoints": [1]}})
        ]
    );
    let manager = json!({
        "route_config": {"name": "mcp/mcp/http"},
        "http_filters": [{"code": {"local": {"filename": "filter.wasm"}}}],
        "access_log": [{"typed_config": {"path": "/dev/null"}}],
    });
    assert_eq!(
        taken.listeners,
        [json!({
            "name": "installed", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "default_filter_chain": {"filters": [{"typed_config": manager}]},
        })]
    );
}

#[test]
fn a_chain_with_another_module_than_the_wanted_one_is_not_taken() {
    let module = Module {
        file: PathBuf::from("filter.wasm"),
        sha256: "cd".to_owned(),
    };
    let with_filter = dump(&json!([{"code": {"remote": {"sha256": "ab"}}}]));
    assert!(chain(&with_filter, "installed", Some(&module)).is_err());
    assert!(chain(&with_filter, "installed_base", None).is_err());
    let without = dump(&json!([]));
    assert!(chain(&without, "installed", Some(&module)).is_err());
    assert!(chain(&without, "installed_base", None).is_ok());
    assert!(chain(&json!({"configs": []}), "installed_base", None).is_err());
}
