{{/* The values that the templates read without a default of their own, by the map that has them. Helm takes a value that is null
for one that the chart does not have. */}}
{{- define "tokenward.checkNulls" -}}
{{- $needed := list
  "" "image replicaCount credentials sealing store resourceMetadata authorization exchangeEndpoint controlSettings gateway serviceAccount topologySpread service kubernetes podDisruptionBudget autoscaling networkPolicy serviceMonitor podMonitor prometheusRule grafanaDashboard test"
  "" "logLevel logFormat revisionHistoryLimit terminationGracePeriodSeconds extraCaRef"
  "image" "repository pullPolicy"
  "credentials" "filterSecretRef aggregatorSecretRef"
  "credentials.filterSecretRef" "name key"
  "credentials.aggregatorSecretRef" "name key"
  "sealing" "current"
  "sealing.current" "id secretRef"
  "sealing.current.secretRef" "name key"
  "store" "embedded valkey"
  "store.embedded" "enabled size"
  "store.valkey" "enabled url keyPrefix clientSideCaching passwordSecretRef sentinel cluster"
  "authorization" "signingKeys trustedProxies"
  "authorization.signingKeys" "current"
  "authorization.signingKeys.current" "name key"
  "kubernetes" "enabled resources startWait apiServerPorts rbac"
  "kubernetes.rbac" "create"
  "gateway" "enabled name filter control controlCluster failReload listeners streams rbacFirst envoyProxy"
  "gateway.filter" "source image settings unmatched sessionHeaders"
  "gateway.envoyProxy" "create wasmLogLevel kubernetes"
  "serviceAccount" "create"
  "topologySpread" "enabled"
  "service" "type port"
  "podDisruptionBudget" "enabled maxUnavailable"
  "autoscaling" "enabled minReplicas maxReplicas targetCPUUtilizationPercentage"
  "networkPolicy" "enabled ingressFrom"
  "serviceMonitor" "enabled interval"
  "podMonitor" "enabled interval"
  "prometheusRule" "enabled"
  "grafanaDashboard" "enabled"
  "test" "enabled"
-}}
{{- range $pair := chunk 2 $needed -}}
{{- $map := $.Values -}}
{{- range splitList "." (first $pair) -}}{{- if . -}}{{- $map = index $map . -}}{{- end -}}{{- end -}}
{{- range splitList " " (last $pair) -}}
{{- if kindIs "invalid" (index $map .) -}}
{{- fail (printf "%s is null: leave it out for its default, or give it a value" (trimPrefix "." (printf "%s.%s" (first $pair) .))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What cannot be meant. */}}
{{- define "tokenward.checks" -}}
{{- $stores := list -}}
{{- if .Values.store.embedded.enabled -}}{{- $stores = append $stores "embedded" -}}{{- end -}}
{{- if .Values.store.valkey.enabled -}}{{- $stores = append $stores "valkey" -}}{{- end -}}
{{- if ne (len $stores) 1 -}}{{- fail "enable exactly one of store.embedded and store.valkey" -}}{{- end -}}
{{- if and .Values.store.valkey.enabled .Values.store.valkey.username (not .Values.store.valkey.passwordSecretRef.name) -}}
{{- fail "store.valkey.username needs store.valkey.passwordSecretRef: control would be the default user without it" -}}
{{- end -}}
{{- if and .Values.store.embedded.enabled (or (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled) -}}
{{- fail "store.embedded serves one process: set replicaCount 1 and autoscaling.enabled false, or use store.valkey" -}}
{{- end -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- if hasKey ($.Values.commonLabels | default dict) $label -}}
{{- fail (printf "commonLabels: the chart itself sets %s" $label) -}}
{{- end -}}
{{- end -}}
{{- if (include "tokenward.tls" . | fromJson).enabled -}}{{- include "tokenward.checkTls" . -}}{{- end -}}
{{- if not .Values.issuers -}}{{- fail "issuers is empty: name the issuer at which users log in" -}}{{- end -}}
{{- if and .Values.kubernetes.enabled (not .Values.kubernetes.resources) -}}{{- fail "kubernetes.enabled is set and kubernetes.resources is empty: name what is watched, as in [{namespaces: [muster]}]" -}}{{- end -}}
{{- if not (or .Values.servers .Values.kubernetes.enabled) -}}{{- fail "servers is empty: name at least one protected server (`tokenward import` reads them from MCPServer resources)" -}}{{- end -}}
{{- if .Values.authorization.issuer -}}{{- include "tokenward.checkAuthorization" . -}}{{- end -}}
{{- if (.Values.console | default dict).publicUrl -}}{{- include "tokenward.checkConsole" . -}}{{- end -}}
{{- if .Values.gateway.enabled -}}
{{- include "tokenward.checkRoutes" . -}}
{{- include "tokenward.checkRelays" . -}}
{{- if eq .Values.gateway.filter.source "control" -}}
{{- if not .Values.gateway.filter.sha256 -}}{{- fail "gateway.filter.sha256 is empty: control logs it as `serving the filter module`" -}}{{- end -}}
{{- else if not (and .Values.gateway.filter.image.url .Values.gateway.filter.image.sha256) -}}{{- fail "gateway.filter.source is image: name gateway.filter.image.url and .sha256 (the image's digest)" -}}
{{- end -}}
{{- end -}}
{{- range .Values.servers -}}
{{- with .match -}}
{{- if and (has .host (include "tokenward.metadataHosts" $ | fromJson).hosts) (not (trimSuffix "/" (.pathPrefix | default ""))) -}}
{{- fail (printf "a server's match takes all of %s, also /.well-known/oauth-protected-resource, which clients read without a token: give it a match.pathPrefix" .host) -}}
{{- end -}}
{{- end -}}
{{- $exchange := and .auth.tokenExchange .auth.tokenExchange.enabled -}}
{{- if and (not $exchange) (not .auth.forwardToken) -}}
{{- fail (printf "server %s: set auth.forwardToken: true, or auth.tokenExchange with enabled: true" .name) -}}
{{- end -}}
{{- if $exchange -}}
{{- $reference := .auth.tokenExchange.clientCredentialsSecretRef -}}
{{- if and $reference.namespace (ne $reference.namespace $.Release.Namespace) -}}
{{- fail (printf "server %s: a pod cannot read the Secret %s of namespace %s; copy it to %s" .name $reference.name $reference.namespace $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
