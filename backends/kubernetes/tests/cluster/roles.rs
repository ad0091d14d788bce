//! Who may write, and who connects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use zeron_backend_kubernetes::{
    Counters, Lease, LeaseConfig, Shards, ShardsConfig, TokenConfig, TokenError, TokenReviewer,
};

use crate::support::{in_cluster, until};

#[test]
fn leases_and_shards_work_with_the_real_api() {
    in_cluster(
        "leases_and_shards_work_with_the_real_api",
        |cluster| async move {
            let counters = Arc::new(Counters::new());
            let campaign = |who: &str| {
                // Whoever follows soon was told, and did not wait for the end.
                let config = LeaseConfig {
                    duration: Duration::from_secs(600),
                    ..LeaseConfig::new(&cluster.namespace, "leader", who)
                };
                Lease::campaign(cluster.client.clone(), config, Arc::clone(&counters))
            };
            let (a, wait) = (campaign("a"), Duration::from_secs(20));
            let mut leads = a.leadership();
            tokio::time::timeout(wait, leads.wait_for(|now| now.is_leader))
                .await
                .unwrap()
                .unwrap();
            let b = campaign("b");
            let mut follows = b.leadership();
            let is_behind =
                |now: &zeron_backend_kubernetes::Leadership| now.holder.as_deref() == Some("a");
            tokio::time::timeout(wait, follows.wait_for(is_behind))
                .await
                .unwrap()
                .unwrap();
            let resigned = Instant::now();
            a.resign().await;
            tokio::time::timeout(wait, follows.wait_for(|now| now.is_leader))
                .await
                .unwrap()
                .unwrap();
            eprintln!("a successor after {:?}", resigned.elapsed());

            let join = |who: &str| {
                let config = ShardsConfig::new(&cluster.namespace, 4, who);
                Shards::campaign(cluster.client.clone(), config, Arc::clone(&counters))
            };
            let (one, two) = (join("one"), join("two"));
            let (first, second) = (one.held(), two.held());
            until("an even share", || async {
                first.borrow().len() == 2 && second.borrow().len() == 2
            })
            .await;
            assert!(first.borrow().is_disjoint(&second.borrow()));
            let died = Instant::now();
            drop(one);
            until("a successor", || async { second.borrow().len() == 4 }).await;
            eprintln!("all shards after {:?}", died.elapsed());
            two.release().await;
        },
    );
}

#[test]
fn tokens_of_the_right_account_and_audience_are_believed() {
    in_cluster(
        "tokens_of_the_right_account_and_audience_are_believed",
        |cluster| async move {
            let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", cluster.namespace);
            cluster
                .create(&accounts, &json!({"metadata": {"name": "activator"}}))
                .await;
            let token = async |audience: &str| {
                let path = format!("{accounts}/activator/token");
                let request = json!({"spec": {"audiences": [audience], "expirationSeconds": 600}});
                let answer = cluster.create(&path, &request).await;
                answer["status"]["token"].as_str().unwrap().to_owned()
            };
            let reviewer = |account: &str| {
                let config = TokenConfig::new("zeron-autoscaler", [(&*cluster.namespace, account)]);
                TokenReviewer::new(cluster.client.clone(), config, Arc::new(Counters::new()))
            };
            let good = token("zeron-autoscaler").await;
            let identity = reviewer("activator").authenticate(&good).await.unwrap();
            assert_eq!(
                (&*identity.account, identity.expires.is_some()),
                ("activator", true)
            );
            let refused = reviewer("other").authenticate(&good).await.unwrap_err();
            assert!(matches!(refused, TokenError::Account(_)), "{refused}");
            let elsewhere = token("somebody-else").await;
            let refused = reviewer("activator")
                .authenticate(&elsewhere)
                .await
                .unwrap_err();
            assert!(
                matches!(refused, TokenError::Rejected(_) | TokenError::Audience(_)),
                "{refused}"
            );
            let refused = reviewer("activator")
                .authenticate("nonsense")
                .await
                .unwrap_err();
            assert!(matches!(refused, TokenError::Rejected(_)), "{refused}");
        },
    );
}
