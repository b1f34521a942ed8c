"""How fast `preprocess` is, against loops that others write and against the decoding alone.

    python benchmarks/preprocess.py --rounds 5

On JPEGs of 1 to 12 megapixels that are drawn on the spot, or on a VOC folder of yours (`--raw photos`). The ways, all run
in each round on the same files:

- plain loop: PIL open, convert, resize, parse the XML, encode a JPEG; it stores nothing.
- published pool: that of the first published study, which submits one image, waits for its result, a float array, and only
  then submits the next one; it stores nothing either.
- mirada: the stage as it is, with workers started, files hashed, annotations checked, shards with checksums written.
- decoding: simplejpeg (libjpeg-turbo) decodes each file at full size and drops it; the floor for whoever decodes at full
  size. `reduced` decodes at the smallest of 1/2, 1/4 and 1/8 that the input's size allows, as the stage does itself.

Takes about three minutes on two cores.
"""

if __name__ == "__main__":  # workers import this file too, as they do src/preprocess.py: it has to be as light
    from preprocess_ways import main

    main(__doc__)
