"""From what people drew to maps, and back."""
