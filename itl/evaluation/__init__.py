"""How a net is scored on a target."""
