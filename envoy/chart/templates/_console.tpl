{{/* Control's `console`, without what controlSettings.console adds. */}}
{{- define "tokenward.controlConsole" -}}
{{- $given := .Values.console -}}
{{- dict
  "listen" (printf "0.0.0.0:%v" $given.port)
  "public_url" $given.publicUrl
  "issuer" $given.issuer
  "client_id" $given.clientId
  "client_secret" (dict "file" (include "tokenward.secretFile" ($given.clientSecretRef | default dict)))
  "groups" $given.groups
| toJson -}}
{{- end -}}

{{/* The container's port of the console; nothing without one. */}}
{{- define "tokenward.consolePort" -}}
{{- if (.Values.console | default dict).publicUrl -}}
- {name: console, containerPort: {{ .Values.console.port }}, protocol: TCP}
{{- end -}}
{{- end -}}

{{/* What cannot be meant. */}}
{{- define "tokenward.checkConsole" -}}
{{- $given := .Values.console -}}
{{- range list "issuer" "clientId" -}}
{{- if not (get $given .) -}}{{- fail (printf "console.publicUrl is set and console.%s is not: name the issuer's client at which operators log in" .) -}}{{- end -}}
{{- end -}}
{{- if not $given.groups -}}{{- fail "console.groups is empty: name the groups of the operators: they see every user's name and sign users out" -}}{{- end -}}
{{- if not (and $given.clientSecretRef $given.clientSecretRef.name $given.clientSecretRef.key) -}}{{- fail "console.clientSecretRef is not set: name the Secret with the client's secret, {name: …, key: …}" -}}{{- end -}}
{{- if not $given.port -}}{{- fail "console.port is not set: name the port of the console, as in 8081" -}}{{- end -}}
{{- if eq (int $given.port) (int .Values.service.port) -}}{{- fail (printf "console.port is service.port, %v: the gateway must not reach the console" .Values.service.port) -}}{{- end -}}
{{- end -}}
