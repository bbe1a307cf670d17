{{/* Where control's authorization server is published, as JSON {"host": …, "parents": […], "namespace": …, "guarded": …}. */}}
{{- define "tokenward.authorizationAt" -}}
{{- $at := include "tokenward.parentsOf" (dict "root" . "given" (.Values.authorization.route | default dict)) | fromJson -}}
{{- $_ := set $at "host" (lower (urlParse .Values.authorization.issuer).hostname) -}}
{{- toJson $at -}}
{{- end -}}

{{/* Its paths, as JSON {"pages": […], "endpoints": […]}: those that browsers open, and those that clients call. */}}
{{- define "tokenward.authorizationPaths" -}}
{{- $pages := list "/authorize" "/authorize/consent" "/authorize/callback" -}}
{{- $endpoints := list "/token" "/register" "/revoke" "/jwks" "/.well-known/oauth-authorization-server" -}}
{{- dict "pages" $pages "endpoints" $endpoints | toJson -}}
{{- end -}}

{{/* Control's `authorization`, without what controlSettings.authorization adds. */}}
{{- define "tokenward.controlAuthorization" -}}
{{- $given := .Values.authorization -}}
{{- $keys := dict "current" (dict "file" (include "tokenward.secretFile" $given.signingKeys.current)) -}}
{{- with $given.signingKeys.next -}}{{- if .name -}}{{- $_ := set $keys "next" (dict "file" (include "tokenward.secretFile" .)) -}}{{- end -}}{{- end -}}
{{- $config := dict "issuer" $given.issuer "signing_keys" $keys "trusted_proxies" (int $given.trustedProxies) -}}
{{- with $given.login -}}
{{- $login := dict -}}
{{- with .issuer -}}{{- $_ := set $login "issuer" . -}}{{- end -}}
{{- with .clientId -}}{{- $_ := set $login "client_id" . -}}{{- end -}}
{{- with .scopes -}}{{- $_ := set $login "scopes" . -}}{{- end -}}
{{- with .connectorId -}}{{- $_ := set $login "connector_id" . -}}{{- end -}}
{{- with .parameters -}}{{- $_ := set $login "parameters" . -}}{{- end -}}
{{- with .authorizationEndpoint -}}{{- $_ := set $login "authorization_endpoint" . -}}{{- end -}}
{{- if $login -}}{{- $_ := set $config "login" $login -}}{{- end -}}
{{- end -}}
{{- with $given.defaultServer -}}{{- $_ := set $config "default_server" . -}}{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* Hosts at which the protected resource metadata is routed to control, as JSON {"hosts": […]}: the configured ones, and with an
authorization server those of all resources, because clients find it by these documents. */}}
{{- define "tokenward.metadataHosts" -}}
{{- $hosts := .Values.resourceMetadata.hostnames | default list -}}
{{- if .Values.authorization.issuer -}}
{{- range .Values.servers -}}
{{- if .resource -}}{{- $hosts = append $hosts (lower (urlParse .resource).hostname) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "hosts" ($hosts | uniq) | toJson -}}
{{- end -}}

{{/* What cannot be meant. */}}
{{- define "tokenward.checkAuthorization" -}}
{{- $resources := list -}}
{{- range .Values.servers -}}{{- if .resource -}}{{- $resources = append $resources .name -}}{{- end -}}{{- end -}}
{{- if not (or $resources .Values.kubernetes.enabled) -}}
{{- fail "authorization: no server has a resource, the URL that MCP clients use; without one no client can ask for a token" -}}
{{- end -}}
{{- $host := (include "tokenward.authorizationAt" . | fromJson).host -}}
{{- range .Values.servers -}}
{{- if .route -}}
{{- if not .route.hostnames -}}
{{- fail (printf "server %s: give its route hostnames: Envoy leads a request for %s, which has the authorization server's routes, to no route without a host" .name $host) -}}
{{- end -}}
{{- end -}}
{{- with .match -}}
{{- if and (eq (lower (.host | default "")) $host) (not (trimSuffix "/" (.pathPrefix | default ""))) -}}
{{- fail (printf "a server's match takes all of %s, also /authorize and /token of the authorization server: give it a match.pathPrefix" .host) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range (include "tokenward.relayRoutes" . | fromJson).routes -}}
{{- if and (eq .host $host) (eq .path "/token") -}}
{{- fail (printf "the relay of %s and the authorization server claim the same endpoint: give authorization.issuer a host of its own" .endpoint) -}}
{{- end -}}
{{- end -}}
{{- end -}}
