{{/* Control's section `kubernetes`. */}}
{{- define "tokenward.controlKubernetes" -}}
{{- $resources := list -}}
{{- range .Values.kubernetes.resources -}}
{{- $one := dict "namespaces" .namespaces -}}
{{- if .group -}}{{- $_ := set $one "group" .group -}}{{- end -}}
{{- if .kind -}}{{- $_ := set $one "kind" .kind -}}{{- end -}}
{{- if .labelSelector -}}{{- $_ := set $one "label_selector" .labelSelector -}}{{- end -}}
{{- if hasKey . "forward" -}}{{- $_ := set $one "forward" (dict "required_audiences" ((.forward | default dict).requiredAudiences | default list)) -}}{{- end -}}
{{- $resources = append $resources $one -}}
{{- end -}}
{{- $section := dict "resources" $resources "start_wait" .Values.kubernetes.startWait
  "lease" (dict "namespace" .Release.Namespace "name" (include "tokenward.leaseName" .)) -}}
{{- with .Values.kubernetes.hosts -}}{{- $_ := set $section "hosts" . -}}{{- end -}}
{{- with .Values.kubernetes.exchangeHosts -}}{{- $_ := set $section "exchange_hosts" . -}}{{- end -}}
{{- $section | toJson -}}
{{- end -}}

{{/* The Lease whose holder writes to resources: an RFC 1123 label. */}}
{{- define "tokenward.leaseName" -}}
{{ include "tokenward.fullname" . | trunc 50 | trimSuffix "-" | replace "." "-" }}-resources
{{- end -}}

{{/* The group and plural of a selection, as {"group": …, "plural": …}. */}}
{{- define "tokenward.kind" -}}
{{- $group := .group | default "muster.giantswarm.io" -}}
{{- $kind := .kind | default "MCPServer" -}}
{{- $plural := get (dict "MCPServer" "mcpservers" "MCPRemoteProxy" "mcpremoteproxies" "RemoteMCPServer" "remotemcpservers") $kind -}}
{{- dict "group" $group "plural" $plural | toJson -}}
{{- end -}}

{{/* By namespace ("*" for all), the kinds that are watched there. */}}
{{- define "tokenward.watched" -}}
{{- $watched := dict -}}
{{- range $one := .Values.kubernetes.resources -}}
{{- range $one.namespaces -}}
{{- $kind := include "tokenward.kind" $one -}}
{{- $_ := set $watched . (append (get $watched . | default list) $kind | uniq) -}}
{{- end -}}
{{- end -}}
{{- toJson $watched -}}
{{- end -}}

{{/* What control may do with these kinds and what belongs to them; `kinds` as of "tokenward.watched". */}}
{{- define "tokenward.resourceRules" -}}
{{- range .kinds }}
{{- $kind := fromJson . }}
- apiGroups: [{{ $kind.group }}]
  resources: [{{ $kind.plural }}]
  verbs: [list, watch]
- apiGroups: [{{ $kind.group }}]
  resources: [{{ $kind.plural }}/status]
  verbs: [patch]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if and .exchanges (contains "muster.giantswarm.io" (toJson .kinds)) }}
# By the name of the Secret that a resource names, as a field selector.
- apiGroups: [""]
  resources: [secrets]
  {{- with .secretNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [list, watch]
{{- end }}
{{- end -}}
