"""Sign-in by an OpenID Connect issuer. Its library is an extra."""

from rerankd.extras import OIDC, library

library("joserfc", OIDC)
