"""The status page and the local control API. The page only reads; writing goes through the API's own routes."""
