{{/* The pod's security context. OpenShift refuses ids that are not of the namespace's range, and sets them itself. */}}
{{- define "tokenward.podSecurityContext" -}}
{{- $context := .Values.podSecurityContext | default dict -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* The environment of the container: the chart's own variables first, because a later one of the same name wins. */}}
{{- define "tokenward.environment" -}}
{{- $variables := list (dict "name" "RUST_LOG" "value" .Values.logLevel) -}}
{{- if .Values.extraCaRef.name -}}
{{- $variables = append $variables (dict "name" "SSL_CERT_FILE" "value" (printf "/etc/tokenward-ca/%s" .Values.extraCaRef.key)) -}}
{{- end -}}
{{- concat $variables (.Values.extraEnv | default list) | toYaml -}}
{{- end -}}

{{/* Labels of the pod of `helm test`: not those that the Service and the policies select. */}}
{{- define "tokenward.testLabels" -}}
app.kubernetes.io/name: {{ include "tokenward.name" . | trunc 58 | trimSuffix "-" }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
