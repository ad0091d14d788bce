//! What each account may do, asked of a real API server: all that it needs, and nothing that would hurt.

use serde_json::json;

use super::cluster::{Installed, installed, may, until};

/// What a process needs everywhere.
const EVERYWHERE: [(&str, &[&str]); 3] = [
    (
        "activator",
        &[
            "watch /pods",
            "watch /services",
            "watch apps/deployments",
            "watch apps/replicasets",
            "watch apps/statefulsets",
            "watch keda.sh/scaledobjects",
            "watch http.keda.sh/httpscaledobjects",
            "watch http.keda.sh/interceptorroutes",
            "watch autoscaling/horizontalpodautoscalers",
            "get /configmaps x",
            "get apiextensions.k8s.io/customresourcedefinitions x",
            "patch apps/deployments/scale",
            "patch apps/statefulsets/scale",
            "patch example.com/things/scale",
            "watch coordination.k8s.io/leases operator.keda.sh",
        ],
    ),
    (
        "autoscaler",
        &[
            "watch /pods",
            "watch keda.sh/scaledjobs",
            "patch keda.sh/scaledjobs/status",
            "watch batch/jobs",
            "create batch/jobs",
            "delete batch/jobs",
            "watch keda.sh/triggerauthentications",
            "patch apps/deployments/scale",
            "patch keda.sh/scaledobjects/status",
            "patch keda.sh/triggerauthentications/status",
            "patch keda.sh/clustertriggerauthentications/status",
            "patch http.keda.sh/httpscaledobjects/status",
            "create events.k8s.io/events",
            "create authentication.k8s.io/tokenreviews",
            "list metrics.k8s.io/pods",
            "patch /pods",
        ],
    ),
    (
        "controller",
        &[
            "patch keda.sh/scaledobjects",
            "create keda.sh/scaledobjects",
            "delete keda.sh/scaledobjects",
            "patch http.keda.sh/httpscaledobjects",
            "patch /services",
            "watch /services",
            "create discovery.k8s.io/endpointslices",
            "delete /endpoints",
            "list /limitranges",
            "patch admissionregistration.k8s.io/validatingwebhookconfigurations zeron",
        ],
    ),
];

/// What nobody of ours may do in somebody else's namespace.
const NEVER: [&str; 16] = [
    "get /secrets",
    "list /secrets",
    "watch /secrets",
    "create /pods",
    "delete /pods",
    "create /pods/exec",
    "patch apps/deployments",
    "update apps/deployments",
    "delete apps/deployments",
    "create apps/deployments",
    "create rbac.authorization.k8s.io/rolebindings",
    "list /configmaps",
    "get /nodes/proxy",
    "patch admissionregistration.k8s.io/validatingwebhookconfigurations other",
    "create /serviceaccounts/token",
    "impersonate /users",
];

#[tokio::test]
async fn each_account_may_do_what_it_needs_and_nothing_that_would_hurt() {
    let name = "each_account_may_do_what_it_needs_and_nothing_that_would_hurt";
    installed(name, json!({}), |here| async move {
        for (component, needs) in EVERYWHERE {
            let account = here.account(component);
            until("the rights are in force", || {
                may(&account, "", "watch /pods")
            })
            .await;
            for need in needs {
                assert!(may(&account, "", need).await, "{component} may not {need}");
            }
            for wish in NEVER {
                assert!(
                    !may(&account, &here.tenant, wish).await,
                    "{component} may {wish}"
                );
            }
        }
        only_its_own(&here).await;
        here
    })
    .await;
}

/// Who faces the internet may do least.
async fn only_its_own(here: &Installed) {
    let activator = here.account("activator");
    for wish in [
        "patch /pods",
        "patch /services",
        "patch keda.sh/scaledobjects",
        "update apps/deployments/scale",
        "patch keda.sh/scaledobjects/status",
        "create discovery.k8s.io/endpointslices",
        "create /events",
    ] {
        assert!(
            !may(&activator, &here.tenant, wish).await,
            "activator may {wish}"
        );
    }
    let autoscaler = here.account("autoscaler");
    for wish in [
        "patch /services",
        "create keda.sh/scaledobjects",
        "create discovery.k8s.io/endpointslices",
    ] {
        assert!(
            !may(&autoscaler, &here.tenant, wish).await,
            "autoscaler may {wish}"
        );
    }
    assert!(
        may(
            &autoscaler,
            &here.namespace,
            "create coordination.k8s.io/leases"
        )
        .await
    );
    assert!(
        !may(
            &autoscaler,
            &here.tenant,
            "create coordination.k8s.io/leases"
        )
        .await
    );
    let controller = here.account("controller");
    for wish in ["create /services", "delete /services"] {
        assert!(
            !may(&controller, &here.tenant, wish).await,
            "controller may {wish}"
        );
    }
    assert!(may(&controller, &here.namespace, "get /secrets zeron-webhook").await);
    assert!(!may(&controller, &here.namespace, "get /secrets other").await);
}

#[tokio::test]
async fn granted_secrets_are_read_by_the_autoscaler_alone_and_no_others() {
    let name = "granted_secrets_are_read_by_the_autoscaler_alone_and_no_others";
    installed(name, json!({}), |here| async move {
        let tenant = here.tenant.as_str();
        let secret = ["grant", tenant, "--secret", "kafka", "--wake"];
        let place = ["--zeron-namespace", &here.namespace];
        let arguments: Vec<&str> = secret.into_iter().chain(place).collect();
        let output = zeron_tests::command(&arguments, |_| ());
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        for object in super::chart::documents(&output.stdout) {
            // The copy's ClusterRole has another name.
            if object["roleRef"]["kind"] != "ClusterRole" {
                here.make(object).await;
            }
        }
        let autoscaler = here.account("autoscaler");
        until("the grant is in force", || {
            may(&autoscaler, &here.tenant, "get /secrets kafka")
        })
        .await;
        assert!(!may(&autoscaler, &here.tenant, "get /secrets other").await);
        assert!(!may(&autoscaler, &here.tenant, "list /secrets").await);
        assert!(
            !may(
                &here.account("activator"),
                &here.tenant,
                "get /secrets kafka"
            )
            .await
        );
        assert!(
            !may(
                &here.account("controller"),
                &here.tenant,
                "get /secrets kafka"
            )
            .await
        );
        here
    })
    .await;
}
