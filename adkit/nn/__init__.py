"""Parts in torch for plugin authors: backbones, patch features, coreset, neighbours, normalisation."""
