"""From raw images to shards, and from shards to pixels."""
