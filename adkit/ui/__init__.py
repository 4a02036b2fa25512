"""The web page and the REST interface: what the commands do, for a browser and for a line controller."""
