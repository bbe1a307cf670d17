#!/usr/bin/env bash
# Tokenward in a kind cluster on this machine, from nothing: docs/quickstart.md.
#   quickstart.sh up      makes the cluster and installs everything
#   quickstart.sh try     logs a user in, lets her token expire, and presents it
#   quickstart.sh down    deletes the cluster
# --dry-run, first, prints every command in place of running it. Without a verb: up, then try.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=envoy/quickstart
cluster=tokenward
image=tokenward:quickstart
# An image of a release in place of one that is built here.
release_image=${TOKENWARD_IMAGE:-}
gateway_url=${TOKENWARD_QUICKSTART_URL:-http://localhost:8080}
envoy_gateway=https://github.com/envoyproxy/gateway/releases/download/v1.9.0/install.yaml
mcpserver_crd=https://raw.githubusercontent.com/giantswarm/muster/d7bf85d3ae59b3597c4b0ac3340dad73c5aabc9b/helm/muster-crds/files/crds/muster.giantswarm.io_mcpservers.yaml
dry_run=

heading() { printf '\n# %s\n' "$*"; }

fail() {
  printf 'quickstart: %s\n' "$*" >&2
  exit 1
}

# Prints a line of shell, and runs it.
run() {
  printf '$ %s\n' "$1"
  if [ -z "$dry_run" ]; then
    bash -euo pipefail -c "$1"
  fi
}

# No other cluster than this one is ever touched.
kube() { printf 'kubectl --context kind-%s %s' "$cluster" "$*"; }

# A Secret NAMESPACE NAME ARGUMENTS that is made once: a second run keeps it.
secret() {
  run "$(kube -n "$1" get secret "$2") >/dev/null 2>&1 || $(kube -n "$1" create secret generic "$2" "${*:3}")"
}

chart() { printf 'helm --kube-context kind-%s %s tokenward envoy/chart -n mcp -f %s/values.yaml' "$cluster" "$1" "$here"; }

# The commands that print the SHA-256 of the filter's module in the image; its variable is theirs.
# shellcheck disable=SC2016
digest() {
  printf 'id=$(docker create %s) && docker cp $id:/usr/share/tokenward/tokenward_filter.wasm - | tar -xOf - | ' "$image"
  printf 'openssl dgst -sha256 -r | cut -d" " -f1 && docker rm $id >/dev/null'
}

need() {
  for program in "$@"; do
    command -v "$program" >/dev/null || fail "$program is not on PATH"
  done
}

up() {
  [ -n "$dry_run" ] || need docker kind kubectl helm curl openssl
  heading "A cluster of one node"
  run "kind get clusters | grep -qx $cluster || kind create cluster --config $here/kind.yaml"

  heading "The image: control, and the filter's module"
  if [ -n "$release_image" ]; then
    run "docker pull $release_image && docker tag $release_image $image"
  else
    run "docker build -t $image ."
  fi
  run "kind load docker-image $image --name $cluster"

  heading "Envoy Gateway, and the kind of resource that names servers"
  run "$(kube apply --server-side -f $envoy_gateway)"
  run "$(kube apply --server-side -f $mcpserver_crd)"
  run "$(kube -n envoy-gateway-system rollout status deploy/envoy-gateway --timeout=5m)"

  heading "Secrets"
  run "$(kube get namespace mcp) >/dev/null 2>&1 || $(kube create namespace mcp)"
  secret mcp tokenward-credentials "--from-literal=filter=\$(openssl rand -hex 32) --from-literal=aggregator=\$(openssl rand -hex 32)"
  secret mcp tokenward-sealing "--from-literal=k1=\$(openssl rand -base64 32)"
  secret mcp tokenward-dex "--from-literal=client-secret=\$(openssl rand -hex 32)"
  secret mcp valkey "--from-literal=password=\$(openssl rand -hex 32)"
  secret mcp tokenward-signing-keys "--from-literal=current.pem=\"\$(docker run --rm $image keygen)\""
  secret envoy-gateway-system tokenward-credentials "--from-literal=filter=\$($(kube -n mcp get secret tokenward-credentials -o "jsonpath='{.data.filter}'") | base64 -d)"

  heading "Valkey, Dex with one user, and an MCP server that verifies every token"
  run "$(kube -n mcp create configmap demo-server --from-file=$here/server.py --dry-run=client -o yaml) | $(kube apply -f -)"
  run "$(kube apply -f $here/valkey.yaml -f $here/dex.yaml -f $here/server.yaml)"
  for name in valkey dex demo-server; do
    run "$(kube -n mcp rollout status deploy/$name --timeout=5m)"
  done

  heading "Control first, then the gateway"
  run "helm --kube-context kind-$cluster status tokenward -n mcp >/dev/null 2>&1 || $(chart install) --set gateway.enabled=false"
  run "$(kube -n mcp rollout status deploy/tokenward --timeout=5m)"
  run "$(chart upgrade) --set gateway.filter.sha256=\$($(digest))"
  run "$(kube apply -f $here/gateway.yaml)"
  run "$(kube -n mcp wait --for=condition=Programmed gateway/mcp --timeout=5m)"

  heading "One resource, one protected server"
  run "$(kube apply -f $here/mcpserver.yaml)"
}

down() {
  [ -n "$dry_run" ] || need kind
  run "kind delete cluster --name $cluster"
}

# The text of member $1 in the JSON on standard input.
text_of() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }

# The member $2 of the claims of token $1.
claim() {
  local part
  part=$(printf %s "$1" | cut -d. -f2 | tr '_-' '/+')
  while [ $((${#part} % 4)) -ne 0 ]; do part=$part=; done
  printf %s "$part" | base64 -d | tr ',{}' '\n\n\n' | sed -n "s/^\"$2\":\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p"
}

# Calls the server's tool with bearer token $1, and prints the answer's body and its status.
call() {
  curl -sS -w '\n%{http_code}\n' "$gateway_url/demo/mcp" -H "authorization: Bearer $1" \
    -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' \
    -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{}}}'
}

# Waits up to $1 seconds until the command $2 … succeeds.
within() {
  local limit=$((SECONDS + $1))
  until "${@:2}"; do
    [ $SECONDS -lt $limit ] || return 1
    sleep 1
  done
}

is_protected() { curl -s "$gateway_url/demo/mcp" | grep -q '"refusal":"missing_bearer","server":"demo"'; }

try() {
  local client_secret answer token left
  client_secret="\$($(kube -n mcp get secret tokenward-dex -o "jsonpath='{.data.client-secret}'") | base64 -d)"
  if [ -n "$dry_run" ]; then
    heading "What try does"
    run "curl -s $gateway_url/demo/mcp"
    run "curl -s $gateway_url/dex/token -u tokenward:$client_secret -d grant_type=password -d username=alice@example.com -d password=password --data-urlencode 'scope=openid email profile groups offline_access'"
    run "curl -s $gateway_url/demo/mcp -H 'authorization: Bearer ID_TOKEN' -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"whoami\",\"arguments\":{}}}'"
    run "$(kube -n mcp exec deploy/demo-server -- wget -qO- http://127.0.0.1:9000/counts)"
    return
  fi
  need kubectl curl
  heading "Without a token the filter refuses, and names the server"
  within 60 is_protected || fail "the server is not protected: $(curl -s "$gateway_url/demo/mcp")"
  curl -s "$gateway_url/demo/mcp"
  echo

  heading "Alice logs in at Dex, through the relay: control learns her login"
  client_secret=${TOKENWARD_QUICKSTART_SECRET:-$(eval "printf %s \"$client_secret\"")}
  answer=$(curl -sS "$gateway_url/dex/token" -u "tokenward:$client_secret" -d grant_type=password \
    -d username=alice@example.com -d password=password --data-urlencode 'scope=openid email profile groups offline_access')
  token=$(printf %s "$answer" | text_of id_token)
  [ -n "$token" ] || fail "no ID token: $answer"
  call "$token"

  left=$(($(claim "$token" exp) - $(date +%s) + 2))
  heading "Her token expires in $left seconds: wait, and present the same token again"
  sleep "$left"
  answer=$(call "$token")
  printf '%s\n' "$answer"
  [ "${answer##*$'\n'}" = 200 ] || fail "the stale token was not replaced"

  heading "What the server counted"
  counts
}

counts() {
  if [ -n "${TOKENWARD_QUICKSTART_COUNTS:-}" ]; then
    curl -s "$TOKENWARD_QUICKSTART_COUNTS"
  else
    kubectl --context "kind-$cluster" -n mcp exec deploy/demo-server -- wget -qO- http://127.0.0.1:9000/counts
  fi
  echo
}

cd "$root"
if [ "${1:-}" = --dry-run ]; then
  dry_run=yes
  shift
fi
case "${1:-all}" in
  up) up ;;
  try) try ;;
  down) down ;;
  # Not `up && try`: in such a list a failing command of `up` would not end it.
  all)
    up
    try
    ;;
  *) fail "unknown verb $1: up, try or down" ;;
esac
