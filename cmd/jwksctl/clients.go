package main

import "github.com/spf13/cobra"

func (a *app) newClients() *cobra.Command {
	c := group("clients", "List and check the clients that may ask for tokens, or make a secret for one",
		a.newClientsList(), a.newClientsCheck(), a.newClientsSecret())
	c.Long = clientsHelp
	c.Example = `  jwksctl clients check jwksctl.yaml
  jwksctl clients list --config jwksctl.yaml
  jwksctl clients secret`
	return c
}

const clientsHelp = `List and check the clients that may ask for tokens, or make a secret for one.

Clients are listed in the settings file, and auth must be clients. A server reloads the
list when the file changes; if the file is broken, the last list stays. Replace the file by
renaming another, because a part of it may be valid. Nothing is granted that is not listed. An entry has exactly one of trust, jwks, jwks_uri and secret_sha256:

  auth: clients
  clients:
  - id: billing                        # client_id, and sub of its tokens
    audiences: [https://api.example]   # it may ask for a token for one of these
    scopes: [read, write]              # for some of these; for all if it names none
    max_ttl: 15m                       # longest lifetime; token_ttl if that is shorter
    claims: {team: payments}           # further claims of each token
    expired_tokens: false              # may it ask for expired tokens
    rate_limit: 10                     # tokens a second; 0 is no limit
    secret_sha256: [9f86d0…]           # by 'jwksctl clients secret'; two while one is replaced
  - id: shop
    audiences: [https://api.example]
    jwks: {"keys": […]}                # its public keys: it signs assertions (RFC 7523)
  - id: cron
    audiences: [https://api.example]
    jwks_uri: https://cron.example/jwks
  - id: deploy
    audiences: [https://api.example]
    trust:                             # a token of its platform is its assertion
    - issuer: https://token.actions.githubusercontent.com
      subject: repo:example/shop:*     # exact, or with one * at the end, after : or /
      audience: https://tokens.example # the aud of that token, which has no other
      typ: JWT                         # the default, which also matches none
      require: {repository_id: "4711"} # claims and their values
      jwks_uri: https://…              # if the metadata of the issuer does not say it
      jwks: {"keys": […]}              # or the keys themselves`
