{{/* The servers as the filter's own configuration has them, as JSON {"servers": […]}. */}}
{{- define "tokenward.filterServers" -}}
{{- $first := first .Values.issuers -}}
{{- $servers := list -}}
{{- range .Values.servers -}}
{{- $home := .issuer | default $first.issuer -}}
{{- $client := $first.clientId -}}
{{- range $.Values.issuers -}}{{- if eq .issuer $home -}}{{- $client = .clientId -}}{{- end -}}{{- end -}}
{{- $auth := dict "kind" "forward" "issuer" $home -}}
{{- $exchange := .auth.tokenExchange -}}
{{- if and $exchange $exchange.enabled -}}
{{- $endpoint := $exchange.tokenEndpoint | default $exchange.dexTokenEndpoint -}}
{{- $remote := $exchange.expectedIssuer -}}
{{- if and (not $remote) (hasSuffix "/protocol/openid-connect/token" $endpoint) -}}
{{- $remote = trimSuffix "/protocol/openid-connect/token" $endpoint -}}
{{- else if and (not $remote) $exchange.dexTokenEndpoint -}}
{{- $remote = trimSuffix "/token" $endpoint -}}
{{- else if not $remote -}}
{{- fail (printf "gateway.filter.serversFrom is static, and server %s has no tokenExchange.expectedIssuer: name the iss of its tokens" .name) -}}
{{- end -}}
{{- $auth = dict "kind" "exchange" "issuer" $remote "subject_issuer" $home "subject_audiences" (list $client) -}}
{{- if ne ($exchange.verify | default "signature") "signature" -}}{{- $_ := set $auth "delivered" "opaque" -}}{{- end -}}
{{- else if eq (.auth.forward | default "id_token") "access_token" -}}
{{- $auth = dict "kind" "forward" "issuer" $home "required_audiences" (list $client) "delivered" "opaque" -}}
{{- end -}}
{{- if not (and (eq $auth.kind "forward") (eq ($auth.delivered | default "") "opaque")) -}}
{{- with .auth.requiredAudiences -}}{{- $_ := set $auth "required_audiences" . -}}{{- end -}}
{{- end -}}
{{- $server := dict "name" .name "auth" $auth -}}
{{- with (include "tokenward.serverMatch" . | fromJson) -}}
{{- with .host -}}{{- $_ := set $server "host" . -}}{{- end -}}
{{- with .pathPrefix -}}{{- $_ := set $server "path_prefix" . -}}{{- end -}}
{{- end -}}
{{- if .resource -}}
{{- $url := urlParse .resource -}}
{{- $path := trimSuffix "/" $url.path -}}
{{- $_ := set $server "resource_metadata" (printf "%s://%s/.well-known/oauth-protected-resource%s" $url.scheme $url.host $path) -}}
{{- if $.Values.authorization.issuer -}}{{- $_ := set $server "resource" .resource -}}{{- end -}}
{{- end -}}
{{- with .listener405After -}}{{- $_ := set $server "listener_405_after" (int .) -}}{{- end -}}
{{- $servers = append $servers $server -}}
{{- end -}}
{{- dict "servers" $servers | toJson -}}
{{- end -}}

{{/* The filter's configuration. */}}
{{- define "tokenward.filterConfig" -}}
{{- $control := dict "cluster" (include "tokenward.controlCluster" .) "authority" (include "tokenward.controlHost" .) "credential" (dict "env" "TOKENWARD_FILTER_CREDENTIAL") -}}
{{- $config := dict "control" $control -}}
{{- if eq .Values.gateway.filter.serversFrom "control" -}}
{{- $_ := set $config "state" dict -}}
{{- else -}}
{{- $_ := set $config "servers" (include "tokenward.filterServers" . | fromJson).servers -}}
{{- with .Values.authorization.issuer -}}{{- $_ := set $config "authorization_server" (dict "issuer" . "scope" "mcp") -}}{{- end -}}
{{- end -}}
{{- $unmatched := .Values.gateway.filter.settings.unmatched | default .Values.gateway.filter.unmatched -}}
{{- $_ := set $config "unmatched" $unmatched -}}
{{- if eq $unmatched "refuse" -}}
{{- $unprotected := list -}}
{{- range (include "tokenward.metadataHosts" . | fromJson).hosts -}}
{{- $unprotected = append $unprotected (dict "host" . "path_prefix" "/.well-known/oauth-protected-resource") -}}
{{- end -}}
{{- if .Values.authorization.issuer -}}
{{- $at := include "tokenward.authorizationAt" . | fromJson -}}
{{- $paths := include "tokenward.authorizationPaths" . | fromJson -}}
{{- if $at.guarded -}}
{{- range concat $paths.pages $paths.endpoints -}}
{{- $unprotected = append $unprotected (dict "host" $at.host "path_prefix" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range (include "tokenward.relayRoutes" . | fromJson).routes -}}
{{- if .guarded -}}{{- $unprotected = append $unprotected (dict "host" .host "path_prefix" .path) -}}{{- end -}}
{{- end -}}
{{- if .Values.exchangeEndpoint.hostnames -}}
{{- if (include "tokenward.parentsOf" (dict "root" . "given" .Values.exchangeEndpoint) | fromJson).guarded -}}
{{- range .Values.exchangeEndpoint.hostnames -}}
{{- $unprotected = append $unprotected (dict "host" . "path_prefix" "/exchange") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.gateway.filter.unprotected -}}
{{- $matcher := dict -}}
{{- with .host -}}{{- $_ := set $matcher "host" . -}}{{- end -}}
{{- with .pathPrefix -}}{{- $_ := set $matcher "path_prefix" . -}}{{- end -}}
{{- $unprotected = append $unprotected $matcher -}}
{{- end -}}
{{- with $unprotected | uniq -}}{{- $_ := set $config "unprotected" . -}}{{- end -}}
{{- end -}}
{{- with .Values.gateway.filter.sessionHeaders -}}{{- $_ := set $config "session_headers" . -}}{{- end -}}
{{- mergeOverwrite $config (deepCopy .Values.gateway.filter.settings) | toYaml -}}
{{- end -}}
