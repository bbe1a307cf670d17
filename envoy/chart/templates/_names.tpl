{{- define "tokenward.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tokenward.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "tokenward.name" . -}}
{{- if contains $name .Release.Name -}}{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tokenward.selector" -}}
app.kubernetes.io/name: {{ include "tokenward.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tokenward.labels" -}}
{{ include "tokenward.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{- define "tokenward.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}{{- default (include "tokenward.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}{{- default "default" .Values.serviceAccount.name -}}{{- end -}}
{{- end -}}

{{- define "tokenward.image" -}}
{{- if .Values.image.digest -}}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{- end -}}
{{- end -}}

{{- define "tokenward.gatewayNamespace" -}}
{{- .Values.gateway.namespace | default .Release.Namespace -}}
{{- end -}}

{{- define "tokenward.controlHost" -}}
{{- .Values.gateway.control.host | default (printf "%s.%s.svc.cluster.local" (include "tokenward.fullname" .) .Release.Namespace) -}}
{{- end -}}

{{- define "tokenward.controlPort" -}}
{{- .Values.gateway.control.port | default .Values.service.port -}}
{{- end -}}

{{/* The name under which the filter calls control's cluster. */}}
{{- define "tokenward.controlCluster" -}}
{{- if eq .Values.gateway.controlCluster "route" -}}
httproute/{{ include "tokenward.gatewayNamespace" . }}/{{ include "tokenward.fullname" . }}-control/rule/0
{{- else -}}
{{ include "tokenward.fullname" . }}-control
{{- end -}}
{{- end -}}

{{/* A host that no client's request can carry by accident: `.invalid` is reserved (RFC 2606). */}}
{{- define "tokenward.controlRouteHost" -}}
{{ include "tokenward.fullname" . }}-control.invalid
{{- end -}}

{{/* The name that Envoy Gateway 1.9 gives the filter of this policy. */}}
{{- define "tokenward.filterName" -}}
envoy.filters.http.wasm/envoyextensionpolicy/{{ include "tokenward.gatewayNamespace" . }}/{{ include "tokenward.fullname" . }}/wasm/0
{{- end -}}

{{/* The HTTPRoute of the server `name`. */}}
{{- define "tokenward.routeName" -}}
{{ include "tokenward.fullname" .root }}-{{ .name | lower | replace "_" "-" }}
{{- end -}}

{{/* No two HTTPRoutes of the chart may have one name in one namespace. */}}
{{- define "tokenward.checkRoutes" -}}
{{- $home := include "tokenward.gatewayNamespace" . -}}
{{- $taken := dict -}}
{{- $own := list -}}
{{- if (include "tokenward.metadataHosts" . | fromJson).hosts -}}{{- $own = append $own "metadata" -}}{{- end -}}
{{- if eq .Values.gateway.controlCluster "route" -}}{{- $own = append $own "control" -}}{{- end -}}
{{- if .Values.exchangeEndpoint.hostnames -}}
{{- $at := include "tokenward.parentsOf" (dict "root" . "given" .Values.exchangeEndpoint) | fromJson -}}
{{- $_ := set $taken (printf "%s/%s" $at.namespace (include "tokenward.routeName" (dict "root" . "name" "exchange"))) "the chart itself" -}}
{{- end -}}
{{- if .Values.authorization.issuer -}}
{{- $at := include "tokenward.authorizationAt" . | fromJson -}}
{{- range list "authorization" "login" -}}
{{- $_ := set $taken (printf "%s/%s" $at.namespace (include "tokenward.routeName" (dict "root" $ "name" .))) "the chart itself" -}}
{{- end -}}
{{- end -}}
{{- range (include "tokenward.relayRoutes" . | fromJson).routes -}}
{{- $_ := set $taken (printf "%s/%s" .namespace .name) "the chart itself" -}}
{{- end -}}
{{- range $own -}}
{{- $_ := set $taken (printf "%s/%s" $home (include "tokenward.routeName" (dict "root" $ "name" .))) "the chart itself" -}}
{{- end -}}
{{- range .Values.servers -}}
{{- if .route -}}
{{- $route := printf "%s/%s" (.route.namespace | default $home) (include "tokenward.routeName" (dict "root" $ "name" .name)) -}}
{{- with get $taken $route -}}{{- fail (printf "the HTTPRoute %s is there already, for %s: name it otherwise, or make the route yourself" $route .) -}}{{- end -}}
{{- $_ := set $taken $route (printf "server %s" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

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
{{- if not .Values.issuers -}}{{- fail "issuers is empty: name the issuer at which users log in" -}}{{- end -}}
{{- if .Values.authorization.issuer -}}{{- include "tokenward.checkAuthorization" . -}}{{- end -}}
{{- if (.Values.console | default dict).publicUrl -}}{{- include "tokenward.checkConsole" . -}}{{- end -}}
{{- if not .Values.servers -}}{{- fail "servers is empty: name at least one protected server (`tokenward import` reads them from MCPServer resources)" -}}{{- end -}}
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
