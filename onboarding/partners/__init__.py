"""What partners' programs do and are told: the use cases of the API."""
