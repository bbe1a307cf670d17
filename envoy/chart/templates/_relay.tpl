{{/* The HTTPRoutes of the relays, as JSON {"routes": […]}: one for each entry of issuers with relay.route. */}}
{{- define "tokenward.relayRoutes" -}}
{{- $routes := list -}}
{{- range .Values.issuers -}}
{{- if kindIs "map" .relay -}}
{{- if kindIs "map" .relay.route -}}
{{- $routes = append $routes (include "tokenward.relayRoute" (dict "root" $ "issuer" .) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "routes" $routes | toJson -}}
{{- end -}}

{{/* One of them, for the entry `issuer`. */}}
{{- define "tokenward.relayRoute" -}}
{{- $given := .issuer.relay.route -}}
{{- $endpoint := .issuer.relay.publicEndpoint | default (printf "%s/token" (trimSuffix "/" .issuer.issuer)) -}}
{{- $url := urlParse $endpoint -}}
{{- $at := include "tokenward.parentsOf" (dict "root" .root "given" $given) | fromJson -}}
{{- $of := printf "%s%s" $url.hostname (trimSuffix "/token" $url.path) -}}
{{- if $given.onlyThisClient -}}{{- $of = printf "%s-%s" $of .issuer.clientId -}}{{- end -}}
{{- $route := dict "endpoint" $endpoint "host" (lower $url.hostname) "path" $url.path "namespace" $at.namespace "parents" $at.parents "guarded" $at.guarded
  "name" (printf "%s-relay-%s" (include "tokenward.fullname" .root) (regexReplaceAll "[^a-z0-9]+" (lower $of) "-" | trunc 180 | trimSuffix "-")) -}}
{{- if $given.onlyThisClient -}}{{- $_ := set $route "authorization" (include "tokenward.basicOf" .issuer.clientId) -}}{{- end -}}
{{- if $given.failover -}}
{{- $own := urlParse (.issuer.tokenEndpoint | default "") -}}
{{- if or (ne $own.scheme "http") (ne $own.path $url.path) -}}
{{- fail (printf "issuer %s: relay.route.failover needs tokenEndpoint with http:// and the path %s, because Envoy sends the same request there" .issuer.issuer $url.path) -}}
{{- end -}}
{{- $port := 80 -}}
{{- if contains ":" $own.host -}}{{- $port = splitList ":" $own.host | last | int -}}{{- end -}}
{{- $_ := set $route "issuer" (dict "host" $own.hostname "port" $port) -}}
{{- end -}}
{{- toJson $route -}}
{{- end -}}

{{/* No two entries may claim one endpoint: two equal HTTPRoutes, of which the older one wins. */}}
{{- define "tokenward.checkRelays" -}}
{{- $taken := dict -}}
{{- range (include "tokenward.relayRoutes" . | fromJson).routes -}}
{{- $place := printf "%s/%s" .namespace .name -}}
{{- if hasKey $taken $place -}}
{{- fail (printf "two entries of issuers have a relay.route for %s: leave it to one of them, or set onlyThisClient in each" .endpoint) -}}
{{- end -}}
{{- $_ := set $taken $place true -}}
{{- end -}}
{{- end -}}

{{/* A regular expression for `Authorization: Basic …` of one client, whatever its secret: the base64 of `ID:`, whose last
character also has bits of the secret. Clients send the id as it is, or form-encoded (RFC 6749 §2.3.1). */}}
{{- define "tokenward.basicOf" -}}
{{- $ways := list (include "tokenward.basicPrefix" .) -}}
{{- if ne (urlquery .) . -}}{{- $ways = append $ways (include "tokenward.basicPrefix" (urlquery .)) -}}{{- end -}}
[Bb]asic +({{ join "|" $ways }}).*
{{- end -}}

{{- define "tokenward.basicPrefix" -}}
{{- $encoded := b64enc (printf "%s:" .) -}}
{{- $known := trimSuffix "=" (trimSuffix "=" $encoded) -}}
{{- $free := sub (len $encoded) (len $known) -}}
{{- if eq (int $free) 0 -}}
{{- replace "+" "[+]" $known -}}
{{- else -}}
{{- $last := substr (sub (len $known) 1 | int) (len $known) $known -}}
{{- $alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" -}}
{{- /* `=`: two bits of the character are the secret's; `==`: four. */ -}}
{{- $begin := len (first (splitList $last $alphabet)) -}}
{{- $end := add $begin (ternary 4 16 (eq (int $free) 1)) | int -}}
{{- replace "+" "[+]" (substr 0 (sub (len $known) 1 | int) $known) -}}[{{ substr $begin $end $alphabet }}]
{{- end -}}
{{- end -}}

{{/* An endpoint of a Backend, from `host` and `port`. */}}
{{- define "tokenward.backendEndpoint" -}}
{{- if regexMatch "^[0-9.]+$" .host -}}
{ip: {address: {{ .host | quote }}, port: {{ .port }}}}
{{- else -}}
{fqdn: {hostname: {{ .host }}, port: {{ .port }}}}
{{- end -}}
{{- end -}}

{{/* Where a route is attached, as JSON {"parents": […], "namespace": …, "guarded": …}; guarded: the filter sees its requests. */}}
{{- define "tokenward.parentsOf" -}}
{{- $gateway := include "tokenward.gatewayNamespace" .root -}}
{{- $parents := .given.parentRefs | default (list (dict "name" .root.Values.gateway.name "namespace" $gateway)) -}}
{{- $namespace := .given.namespace | default ((first $parents).namespace | default $gateway) -}}
{{- $guarded := false -}}
{{- range $parents -}}
{{- if and (eq .name $.root.Values.gateway.name) (eq (.namespace | default $namespace) $gateway) -}}{{- $guarded = true -}}{{- end -}}
{{- end -}}
{{- dict "parents" $parents "namespace" $namespace "guarded" $guarded | toJson -}}
{{- end -}}
