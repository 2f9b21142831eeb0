"""Speaker encoders, ours and others', behind one face: waveforms in, embeddings of unit length out."""
