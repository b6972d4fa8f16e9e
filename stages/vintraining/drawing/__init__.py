"""Characters drawn on paper and into printed boxes."""
