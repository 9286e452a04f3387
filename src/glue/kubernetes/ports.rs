//! Pods with numbers, each of which a service of its own finds: ports mode (C-616, C-619).

use std::collections::BTreeMap;

/// What `--ports-mode` and its companions say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortsMode {
    /// The first number.
    pub first: u32,
    /// So many pods at once.
    pub count: u32,
    /// `NAME=VALUE` with `{pod_number}` in it.
    pub label: String,
    /// The port of the pod with number 0.
    pub base_port: Option<u32>,
    /// Where the ports are reached.
    pub gateway: Option<String>,
}

impl PortsMode {
    /// The label of a pod with this number.
    pub(super) fn label(&self, number: u32) -> (String, String) {
        let label = self.label.replace("{pod_number}", &number.to_string());
        let (name, value) = label.split_once('=').unwrap_or((&label, ""));
        (name.to_owned(), value.to_owned())
    }

    /// The first number that no pod has.
    pub(super) fn free(&self, taken: &BTreeMap<String, u32>) -> Option<u32> {
        let mut numbers = self.first..self.first.saturating_add(self.count);
        numbers.find(|number| !taken.values().any(|taken| taken == number))
    }

    /// What the user is told of a pod (C-619).
    pub(super) fn properties(&self, number: u32, pods: usize) -> Vec<(String, String)> {
        let (name, value) = self.label(number);
        let mut properties = vec![
            ("k8s-pod-number".to_owned(), number.to_string()),
            ("k8s-pod-label".to_owned(), format!("{name}={value}")),
            ("k8s-internal-pod-count".to_owned(), pods.to_string()),
        ];
        if let Some(port) = self.base_port {
            let port = port.saturating_add(number).to_string();
            properties.push(("k8s-pod-port".to_owned(), port));
        }
        if let Some(gateway) = &self.gateway {
            properties.push(("k8s-gateway-address".to_owned(), gateway.clone()));
        }
        properties
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-616, C-619
    #[test]
    fn each_pod_has_a_number_of_its_own() {
        let mode = PortsMode {
            first: 1,
            count: 2,
            label: "ai.allegro.agent.serial=pod-{pod_number}".to_owned(),
            base_port: Some(30000),
            gateway: None,
        };
        let mut taken = BTreeMap::from([("n/a".to_owned(), 1)]);
        assert_eq!(mode.free(&taken), Some(2));
        taken.insert("n/b".to_owned(), 2);
        assert_eq!(mode.free(&taken), None);
        let properties = mode.properties(2, 2);
        let expected = [
            ("k8s-pod-number", "2"),
            ("k8s-pod-label", "ai.allegro.agent.serial=pod-2"),
            ("k8s-internal-pod-count", "2"),
            ("k8s-pod-port", "30002"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(properties, expected);
    }
}
