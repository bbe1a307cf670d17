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
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
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
