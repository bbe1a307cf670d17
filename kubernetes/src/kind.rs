//! The kinds of resources that name an MCP server.

/// One kind. Its fields are those of its CustomResourceDefinition.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// The API group.
    pub group: &'static str,
    /// `kind`.
    pub name: &'static str,
    /// The plural in URLs and in RBAC rules.
    pub plural: &'static str,
    /// The versions whose fields are known, the preferred one first. The first that the API server serves is used.
    pub versions: &'static [&'static str],
}

/// Every known kind.
pub static KINDS: [Kind; 4] = [
    Kind {
        group: "muster.giantswarm.io",
        name: "MCPServer",
        plural: "mcpservers",
        versions: &["v1alpha1"],
    },
    Kind {
        group: "toolhive.stacklok.dev",
        name: "MCPServer",
        plural: "mcpservers",
        versions: &["v1beta1", "v1alpha1"],
    },
    Kind {
        group: "toolhive.stacklok.dev",
        name: "MCPRemoteProxy",
        plural: "mcpremoteproxies",
        versions: &["v1beta1", "v1alpha1"],
    },
    Kind {
        group: "kagent.dev",
        name: "RemoteMCPServer",
        plural: "remotemcpservers",
        versions: &["v1alpha2"],
    },
];

impl Kind {
    /// The kind `name` of `group`, if it is known.
    #[must_use]
    pub fn find(group: &str, name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.group == group && kind.name == name)
    }

    /// The first of the known versions that is among `served`.
    #[must_use]
    pub fn version(&self, served: &[String]) -> Option<&'static str> {
        let is_served = |version: &&&str| served.iter().any(|served| served == **version);
        self.versions.iter().find(is_served).copied()
    }
}

/// Which resources of a kind are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The kind.
    pub kind: &'static Kind,
    /// The namespaces; empty: all.
    pub namespaces: Vec<String>,
    /// A label selector in the API's syntax; `None`: every resource.
    pub label_selector: Option<String>,
}

/// One list that is watched: a kind in one namespace, or in all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// The kind.
    pub kind: &'static Kind,
    /// The namespace; `None`: all.
    pub namespace: Option<String>,
    /// The label selector.
    pub label_selector: Option<String>,
}

impl Selection {
    /// The lists that this selection watches.
    pub fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        let of = |namespace: Option<String>| Source {
            kind: self.kind,
            namespace,
            label_selector: self.label_selector.clone(),
        };
        let all = self.namespaces.is_empty().then(|| of(None));
        let named = self.namespaces.iter().map(move |name| of(Some(name.clone())));
        all.into_iter().chain(named)
    }
}
