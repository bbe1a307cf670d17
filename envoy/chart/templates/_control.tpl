{{/* terminationGracePeriodSeconds, or longer where issuer_timeout needs it: an orderly end of control takes issuer_timeout
and 15 s at most, and 5 s are left for the rest of the pod. */}}
{{- define "tokenward.gracePeriodSeconds" -}}
{{- $timeout := .Values.controlSettings.issuer_timeout | default "35s" | toString -}}
{{- $number := regexFind "^[0-9]+" $timeout | int64 -}}
{{- $unit := regexFind "[a-z]+$" $timeout -}}
{{- $seconds := $number -}}
{{- if eq $unit "ms" -}}{{- $seconds = add1 (div $number 1000) -}}
{{- else if eq $unit "m" -}}{{- $seconds = mul $number 60 -}}
{{- else if eq $unit "h" -}}{{- $seconds = mul $number 3600 -}}
{{- end -}}
{{- max (int64 .Values.terminationGracePeriodSeconds) (add $seconds 20) -}}
{{- end -}}

{{/* Where a secret reference is mounted. */}}
{{- define "tokenward.secretFile" -}}
/run/secrets/tokenward/{{ .name }}/{{ .key }}
{{- end -}}

{{/* All Secrets that control reads, as JSON list {"names": […]}. */}}
{{- define "tokenward.secretNames" -}}
{{- $names := list .Values.credentials.filterSecretRef.name .Values.credentials.aggregatorSecretRef.name .Values.sealing.current.secretRef.name -}}
{{- range .Values.sealing.previous -}}{{- $names = append $names .secretRef.name -}}{{- end -}}
{{- range .Values.issuers -}}{{- $names = append $names (.clientSecretRef | default .clientKeyRef).name -}}{{- end -}}
{{- if and .Values.store.valkey.enabled .Values.store.valkey.passwordSecretRef.name -}}
{{- $names = append $names .Values.store.valkey.passwordSecretRef.name -}}
{{- end -}}
{{- range .Values.servers -}}
{{- if and .auth.tokenExchange .auth.tokenExchange.enabled -}}{{- $names = append $names .auth.tokenExchange.clientCredentialsSecretRef.name -}}{{- end -}}
{{- end -}}
{{- if .Values.authorization.issuer -}}
{{- $keys := .Values.authorization.signingKeys -}}
{{- $names = append $names $keys.current.name -}}
{{- with $keys.next -}}{{- if .name -}}{{- $names = append $names .name -}}{{- end -}}{{- end -}}
{{- end -}}
{{- if (include "tokenward.tls" . | fromJson).enabled -}}{{- $names = append $names (include "tokenward.tls" . | fromJson).secretName -}}
{{- with (include "tokenward.tls" . | fromJson).clientCaRef.name -}}{{- $names = append $names . -}}{{- end -}}{{- end -}}
{{- if (.Values.console | default dict).publicUrl -}}{{- with (.Values.console.clientSecretRef | default dict).name -}}{{- $names = append $names . -}}{{- end -}}{{- end -}}
{{- dict "names" ($names | uniq | sortAlpha) | toJson -}}
{{- end -}}

{{/* Control's configuration. */}}
{{- define "tokenward.controlConfig" -}}
{{- $config := dict "listen" (printf "0.0.0.0:%v" .Values.service.port) -}}
{{- if (include "tokenward.tls" . | fromJson).enabled -}}{{- $_ := set $config "tls" (include "tokenward.controlTls" . | fromJson) -}}{{- end -}}
{{- $_ := set $config "filter_module" (dict "path" "/usr/share/tokenward/tokenward_filter.wasm") -}}
{{- $_ := set $config "credentials" (dict
  "filter" (dict "file" (include "tokenward.secretFile" .Values.credentials.filterSecretRef))
  "aggregator" (dict "file" (include "tokenward.secretFile" .Values.credentials.aggregatorSecretRef))) -}}
{{- $sealing := dict "current" (dict "id" .Values.sealing.current.id "key" (dict "file" (include "tokenward.secretFile" .Values.sealing.current.secretRef))) -}}
{{- $previous := list -}}
{{- range .Values.sealing.previous -}}
{{- $previous = append $previous (dict "id" .id "key" (dict "file" (include "tokenward.secretFile" .secretRef))) -}}
{{- end -}}
{{- if $previous -}}{{- $_ := set $sealing "previous" $previous -}}{{- end -}}
{{- $_ := set $config "sealing" $sealing -}}
{{- if .Values.store.embedded.enabled -}}
{{- $_ := set $config "store" (dict "embedded" (dict "path" "/var/lib/tokenward/store.redb")) -}}
{{- else -}}
{{- $given := .Values.store.valkey -}}
{{- $valkey := dict "url" $given.url "key_prefix" $given.keyPrefix -}}
{{- if $given.username -}}{{- $_ := set $valkey "username" $given.username -}}{{- end -}}
{{- if $given.passwordSecretRef.name -}}{{- $_ := set $valkey "password" (dict "file" (include "tokenward.secretFile" $given.passwordSecretRef)) -}}{{- end -}}
{{- if $given.sentinel.service -}}{{- $_ := set $valkey "sentinel" (dict "service" $given.sentinel.service "more" ($given.sentinel.more | default list)) -}}{{- end -}}
{{- if $given.cluster.more -}}{{- $_ := set $valkey "cluster" (dict "more" $given.cluster.more) -}}{{- end -}}
{{- if not $given.clientSideCaching -}}{{- $_ := set $valkey "client_side_caching" false -}}{{- end -}}
{{- $_ := set $config "store" (dict "valkey" $valkey) -}}
{{- end -}}
{{- $issuers := list -}}
{{- range .Values.issuers -}}
{{- $issuer := dict "issuer" .issuer "client_id" .clientId -}}
{{- with .clientSecretRef -}}{{- $_ := set $issuer "client_secret" (dict "file" (include "tokenward.secretFile" .)) -}}{{- end -}}
{{- with .clientKeyRef -}}{{- $_ := set $issuer "client_key" (dict "file" (include "tokenward.secretFile" .)) -}}{{- end -}}
{{- if .dialect -}}{{- $_ := set $issuer "dialect" .dialect -}}{{- end -}}
{{- if .refreshTokens -}}{{- $_ := set $issuer "refresh_tokens" .refreshTokens -}}{{- end -}}
{{- if .signOut -}}{{- $_ := set $issuer "sign_out" .signOut -}}{{- end -}}
{{- if .trustedPeers -}}{{- $_ := set $issuer "trusted_peers" .trustedPeers -}}{{- end -}}
{{- if .policy -}}{{- $_ := set $issuer "policy" .policy -}}{{- end -}}
{{- if .tokenEndpoint -}}{{- $_ := set $issuer "token_endpoint" .tokenEndpoint -}}{{- end -}}
{{- if .jwksUri -}}{{- $_ := set $issuer "jwks_uri" .jwksUri -}}{{- end -}}
{{- if .rejectedKeys -}}{{- $_ := set $issuer "rejected_keys" .rejectedKeys -}}{{- end -}}
{{- if .clientAuth -}}{{- $_ := set $issuer "client_auth" .clientAuth -}}{{- end -}}
{{- with .limits -}}
{{- $limits := dict -}}
{{- with .callsPerSecond -}}{{- $_ := set $limits "calls_per_second" (int .) -}}{{- end -}}
{{- with .burst -}}{{- $_ := set $limits "burst" (int .) -}}{{- end -}}
{{- with .concurrentCalls -}}{{- $_ := set $limits "concurrent_calls" (int .) -}}{{- end -}}
{{- $_ := set $issuer "limits" $limits -}}
{{- end -}}
{{- if kindIs "map" .relay -}}
{{- $relay := dict -}}
{{- if .relay.publicEndpoint -}}{{- $_ := set $relay "public_endpoint" .relay.publicEndpoint -}}{{- end -}}
{{- if .relay.staleSubjectGrace -}}{{- $_ := set $relay "stale_subject_grace" .relay.staleSubjectGrace -}}{{- end -}}
{{- if .relay.deadline -}}{{- $_ := set $relay "deadline" .relay.deadline -}}{{- end -}}
{{- $_ := set $issuer "relay" $relay -}}
{{- end -}}
{{- $issuers = append $issuers $issuer -}}
{{- end -}}
{{- $_ := set $config "issuers" $issuers -}}
{{- $servers := list -}}
{{- range .Values.servers -}}
{{- $server := dict "name" .name "auth" (include "tokenward.controlAuth" .auth | fromJson) -}}
{{- if .resource -}}{{- $_ := set $server "resource" .resource -}}{{- end -}}
{{- with (include "tokenward.serverMatch" . | fromJson) -}}{{- $_ := set $server "match" . -}}{{- end -}}
{{- with .issuer -}}{{- $_ := set $server "issuer" . -}}{{- end -}}
{{- with .listener405After -}}{{- $_ := set $server "listener405After" (int .) -}}{{- end -}}
{{- $servers = append $servers $server -}}
{{- end -}}
{{- $_ := set $config "servers" $servers -}}
{{- if .Values.kubernetes.enabled -}}
{{- $_ := set $config "kubernetes" (include "tokenward.controlKubernetes" . | fromJson) -}}
{{- end -}}
{{- if .Values.authorization.issuer -}}
{{- $_ := set $config "authorization" (include "tokenward.controlAuthorization" . | fromJson) -}}
{{- end -}}
{{- if (.Values.console | default dict).publicUrl -}}
{{- $_ := set $config "console" (include "tokenward.controlConsole" . | fromJson) -}}
{{- end -}}
{{- $metadata := dict -}}
{{- with .Values.resourceMetadata.authorizationServers -}}{{- $_ := set $metadata "authorization_servers" . -}}{{- end -}}
{{- with .Values.resourceMetadata.scopes -}}{{- $_ := set $metadata "scopes" . -}}{{- end -}}
{{- if $metadata -}}{{- $_ := set $config "resource_metadata" $metadata -}}{{- end -}}
{{- mergeOverwrite $config (deepCopy .Values.controlSettings) | toYaml -}}
{{- end -}}

{{/* A server's auth block as control has it: the secret as a file. */}}
{{- define "tokenward.controlAuth" -}}
{{- $auth := omit (deepCopy .) "tokenExchange" -}}
{{- with .tokenExchange -}}
{{- $exchange := omit (deepCopy .) "clientCredentialsSecretRef" "clientId" "clientAuth" -}}
{{- if .enabled -}}
{{- $reference := .clientCredentialsSecretRef -}}
{{- $secret := dict "name" $reference.name "key" ($reference.clientSecretKey | default "client-secret") -}}
{{- $client := .clientId -}}
{{- if not $client -}}{{- $client = dict "file" (include "tokenward.secretFile" (dict "name" $reference.name "key" ($reference.clientIdKey | default "client-id"))) -}}{{- end -}}
{{- $credentials := dict "clientId" $client -}}
{{- with $reference.clientKeyKey -}}
{{- $_ := set $credentials "clientKey" (dict "file" (include "tokenward.secretFile" (dict "name" $reference.name "key" .))) -}}
{{- else -}}
{{- $_ := set $credentials "clientSecret" (dict "file" (include "tokenward.secretFile" $secret)) -}}
{{- end -}}
{{- if .clientAuth -}}{{- $_ := set $credentials "clientAuth" .clientAuth -}}{{- end -}}
{{- $_ := set $exchange "clientCredentials" $credentials -}}
{{- end -}}
{{- $_ := set $auth "tokenExchange" $exchange -}}
{{- end -}}
{{- toJson $auth -}}
{{- end -}}

{{/*
The host and the path by which the filter finds a server without a look-up in Envoy (ADR 8): its `match`, else those of the route that
the chart makes for it, where they are one host without a wildcard and a plain path. `{}`: its route's annotation alone names it.
*/}}
{{- define "tokenward.serverMatch" -}}
{{- $route := .route | default dict -}}
{{- $path := $route.pathPrefix | default "" -}}
{{- $hosts := $route.hostnames | default list -}}
{{- $host := eq (len $hosts) 1 | ternary (first $hosts) "" -}}
{{- if .match -}}
{{- .match | toJson -}}
{{- else if and (regexMatch "^[a-z0-9.-]+$" $host) (regexMatch "^(/[A-Za-z0-9._~-]+)+/?$" $path) -}}
{{- dict "host" $host "pathPrefix" $path | toJson -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}
