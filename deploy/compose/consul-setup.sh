#!/bin/sh
# Gives everybody who speaks to Consul a token, by the rules in deploy/consul: each into a folder
# of its own, which only its reader mounts.  Run again it brings the rules up to date.
#
#     consul-setup.sh TOKENS RULES
set -eu
tokens=$1
rules=$2
mesh=sample
services="front app"
nodes="front1 myapp1 myapp2"
admin=$tokens/admin/token
umask 022

# The words in capitals are what a role is for; a line about a service is there for each of them.
filled() {
  while IFS= read -r line; do
    case $line in
      \#*) ;;
      *SERVICE*) for service in $services; do echo "$line" | sed "s/SERVICE/$service/"; done ;;
      *) echo "$line" ;;
    esac
  done <"$rules/$1.hcl" | sed "s/MESH/$mesh/g; s/NODE/$2/g; s/AGENT/consul/g"
}

secret() {
  sed -n 's/.*"SecretID": "\([^"]*\)".*/\1/p'
}

role() {
  name=$1
  filled "$2" "${3:-}" >"/tmp/$name.hcl"
  if consul acl policy read -name "$name" >/dev/null 2>&1; then
    consul acl policy update -name "$name" -rules "@/tmp/$name.hcl" >/dev/null
  else
    consul acl policy create -name "$name" -rules "@/tmp/$name.hcl" >/dev/null
  fi
  if [ ! -s "$tokens/$name/token" ]; then
    consul acl token create -description "$name" -policy-name "$name" -format=json |
      secret >"$tokens/$name/.token"
    [ -s "$tokens/$name/.token" ]
    mv "$tokens/$name/.token" "$tokens/$name/token"
  fi
  echo "$name: ready"
}

if [ ! -s "$admin" ]; then
  until said=$(consul acl bootstrap -format=json 2>&1); do
    case $said in
      *"no longer allowed"*)
        echo "Consul has its tokens, and they are lost: docker compose down --volumes" >&2
        exit 1
        ;;
    esac
    sleep 1 # no leader yet
  done
  (umask 077 && printf '%s\n' "$said" | secret >"$admin.new")
  mv "$admin.new" "$admin"
fi
export CONSUL_HTTP_TOKEN_FILE="$admin"

role publisher publisher
role registrar registrar
role prometheus prometheus
for node in $nodes; do
  role "agent-$node" agent "$node"
done
