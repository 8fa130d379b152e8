"""Load from nothing to six times what one replica takes, and back: replicas follow, no request fails."""
