{{/* TLS between control and its callers. */}}

{{/* `control.tls` as JSON, with nothing in it missing. */}}
{{- define "tokenward.tls" -}}
{{- $tls := (.Values.control | default dict).tls | default dict -}}
{{- dict
  "enabled" ($tls.enabled | default false)
  "secretName" ($tls.secretName | default "")
  "serverName" ($tls.serverName | default "")
  "ca" ($tls.ca | default "")
  "clientCaRef" ($tls.clientCaRef | default dict)
  "clientNames" ($tls.clientNames | default list)
  "clientCertificateRef" ($tls.clientCertificateRef | default dict) | toJson -}}
{{- end -}}

{{/* The name that callers verify. */}}
{{- define "tokenward.tlsName" -}}
{{- (include "tokenward.tls" . | fromJson).serverName | default (include "tokenward.controlHost" .) -}}
{{- end -}}

{{- define "tokenward.caName" -}}
{{ include "tokenward.fullname" . }}-ca
{{- end -}}

{{/* Control's `tls`, as JSON. */}}
{{- define "tokenward.controlTls" -}}
{{- $given := include "tokenward.tls" . | fromJson -}}
{{- $tls := dict
  "certificate" (dict "file" (include "tokenward.secretFile" (dict "name" $given.secretName "key" "tls.crt")))
  "key" (dict "file" (include "tokenward.secretFile" (dict "name" $given.secretName "key" "tls.key")))
  "names" (list (include "tokenward.tlsName" .)) -}}
{{- if $given.clientCaRef.name -}}
{{- $_ := set $tls "client_ca" (dict "file" (include "tokenward.secretFile" (dict "name" $given.clientCaRef.name "key" ($given.clientCaRef.key | default "ca.crt")))) -}}
{{- with $given.clientNames -}}{{- $_ := set $tls "client_names" . -}}{{- end -}}
{{- end -}}
{{- toJson $tls -}}
{{- end -}}

{{/* How Envoy's own cluster of control verifies it. */}}
{{- define "tokenward.transportSocket" -}}
name: envoy.transport_sockets.tls
typed_config:
  "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
  sni: {{ include "tokenward.tlsName" . }}
  common_tls_context:
    validation_context:
      trusted_ca: {inline_string: {{ (include "tokenward.tls" . | fromJson).ca | quote }}}
      match_typed_subject_alt_names:
      - {san_type: DNS, matcher: {exact: {{ include "tokenward.tlsName" . }}}}
{{- end -}}

{{- define "tokenward.checkTls" -}}
{{- $tls := include "tokenward.tls" . | fromJson -}}
{{- if not $tls.secretName -}}{{- fail "control.tls.secretName is empty: name the kubernetes.io/tls Secret of control's certificate" -}}{{- end -}}
{{- if .Values.gateway.enabled -}}
{{- if not (contains "BEGIN CERTIFICATE" ($tls.ca | default "")) -}}
{{- fail "control.tls.ca is no certificate: paste the PEM of the authority that signed control's certificate, which Envoy verifies (--set-file control.tls.ca=ca.crt)" -}}
{{- end -}}
{{- if $tls.clientCaRef.name -}}
{{- if ne .Values.gateway.controlCluster "route" -}}
{{- fail "control.tls.clientCaRef needs gateway.controlCluster: route: Envoy Gateway gives Envoy's certificate to the clusters that it makes itself" -}}
{{- end -}}
{{- if and .Values.gateway.envoyProxy.create (not $tls.clientCertificateRef.name) -}}
{{- fail "control.tls.clientCaRef is set, and Envoy has no certificate to present: name its Secret in control.tls.clientCertificateRef" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
