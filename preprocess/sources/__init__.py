"""Where rows come from: Hub id, Parquet, save_to_disk, audio folder, Common Voice, demo."""
