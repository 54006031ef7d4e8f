"""Numbers: what a pre-trained net is worth on a target."""
