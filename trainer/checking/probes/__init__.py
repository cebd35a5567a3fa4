"""What runs in processes of its own and may take them down: it looks and computes, and judges nothing."""
