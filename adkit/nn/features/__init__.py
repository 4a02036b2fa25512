"""What methods on frozen features share: backbones, patches, memory banks."""
