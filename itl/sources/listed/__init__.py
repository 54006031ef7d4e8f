"""Images that lists, tables or shards name, divide and label."""
