"""What a service of a given size will take, told before it is built: `nextup plan`."""
