"""The company's identity provider, by which staff sign in (OpenID Connect Core 1.0)."""
