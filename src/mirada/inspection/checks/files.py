"""Files that are left out, files that had to be mended, and files that are not what their names say."""

from __future__ import annotations

from collections import Counter, defaultdict

from mirada.data.annotations import LOSSES, RawImage
from mirada.inspection.finding import Example, Finding, many, percent
from mirada.inspection.survey import Survey

# Reasons that are a matter of choice, not of damage.
_CHOSEN = {"in_no_list", "in_no_split", "image_without_xml", "image_without_labels", "labels_twice", "no_object"}
_CHOSEN |= {"several_objects", "several_labels"}
_REPAIRS = {
    "corners_swapped": "Boxes with their corners in the wrong order were turned round",
    "box_clipped": "Boxes that reached out of their image were cut to it",
    "size_wrong": "Where annotations give another size than the image has, the image was believed",
    "filename_wrong": "Annotations name another file than the one beside them, which was taken",
    "exif_applied": "Images were turned as their EXIF says, because the boxes fit that",
    "exif_ignored": "The EXIF orientation of images contradicts their boxes, and was ignored",
    "extension_wrong": "Images are of another format than their extension says, and were read all the same",
    "first_frame_taken": "Of files that hold several pictures the first was taken",
    "label_merged": "Objects whose label differs from another in case or spaces alone got that other label",
    "label_not_wanted": "Objects with labels that data.classes does not list were left out",
    "polygon_enclosed": "Polygons were taken as the boxes that enclose them",
    "mask_enclosed": "Masks were taken as the boxes that enclose them",
    "rotated_box_enclosed": "Turned boxes were taken as the upright boxes that enclose them",
    "object_of_several_boxes": "Of objects with several boxes, each box counts as an object",
    "image_listed_twice": "Objects of images that one file lists twice were put together",
    "crowd_flag_ignored": "The flag of a crowd was ignored where every object has it",
    "xml_space_before": "A blank before the first line of an XML was passed over",
    "ampersand_bare": "A bare ampersand in an XML was read as one",
    "copy_merged": "Copies of an image, of the same name and label, were put together",
    "object_dropped": "Objects were dropped, and the image's largest kept",
    "object_overlapped": "Objects that overlap others too much to be shown alone were left out",
}
_MENDS = {
    "box_clipped": "check the tool that exported them: boxes a pixel outside are harmless, boxes far outside are not",
    "size_wrong": "were the images scaled after they were annotated? then export the annotations again",
    "exif_ignored": "turn the pixels themselves and drop the EXIF orientation: python src/convert.py does so",
    "extension_wrong": "rename them, for the sake of other tools",
    "label_merged": "data.merge_labels=false keeps them apart; data.rename says which name they get",
    "label_not_wanted": "name them in data.classes if they are to be learnt",
    "object_dropped": "data.several=crop makes an image of each",
}


def find_refusals(survey: Survey) -> list[Finding]:
    """What preprocess would refuse."""
    return [
        Finding("refused", "error", 1, f"preprocess will refuse these data. {sentence}", "")
        for sentence in survey.refusals
    ]


def find_left_out(survey: Survey) -> list[Finding]:
    """Files that are left out, by reason."""
    groups = defaultdict(list)
    for item in sorted(survey.rejected, key=lambda item: (item.file, item.reason)):
        groups[item.reason].append(item)
    findings = []
    for reason, items in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        objects = sum(item.objects for item in items)
        share = len(items) / (len(survey.seen) + len(items))
        severity = "note" if reason in _CHOSEN and share < 0.2 else "error" if share >= 0.05 else "warning"
        advice = Counter(item.advice.rpartition(": ")[2] for item in items).most_common(1)[0][0]
        sentence = f"{many(len(items), 'file')} left out as {reason}" + (
            f", with {many(objects, 'object')}." if objects else "."
        )
        examples = tuple(Example(item.file, item.advice) for item in items)
        findings.append(Finding(f"left_out.{reason}", severity, len(items), sentence, advice, examples))
    return findings


def find_repaired(survey: Survey) -> list[Finding]:
    """What the readers mended, and the objects that they lost, by kind."""
    findings = []
    for code, count in sorted(survey.repairs.items(), key=lambda pair: (-pair[1], pair[0])):
        if not count:
            continue
        meant = [image for image in survey.images if code in image.repairs]
        examples = tuple(_example(image, code) for image in meant)
        if code in LOSSES:
            sentence = f"{many(count, 'object')} lost in {many(len(meant), 'image')}, each {LOSSES[code]} ({code})."
            severity = "warning" if count >= 0.01 * max(1, survey.books.get("found", 0)) else "note"
            mend = "look at these images in the labelling tool, or leave it: the rest of each image is used"
        else:
            told = _REPAIRS.get(code, "Something was mended")
            sentence = f"{told}: {many(count, 'time')} ({code})."
            severity = "warning" if code in ("size_wrong", "exif_ignored") else "note"
            mend = _MENDS.get(code, "nothing to do")
        findings.append(Finding(f"repaired.{code}", severity, count, sentence, mend, examples))
    return findings


def _example(image: RawImage, code: str) -> Example:
    count = image.repairs.count(code)
    return Example(image.source, f"{count} × {code}" if count > 1 else code, others=image.boxes)


def find_odd(survey: Survey) -> list[Finding]:
    """Images whose pixels are not of the usual kind: 16 bits, a palette, CMYK, transparency."""
    kinds = defaultdict(list)
    for source, seen in survey.seen.items():
        mode = seen.mode
        if mode.startswith("I"):
            kinds["deep"].append(source)
        elif mode == "CMYK":
            kinds["cmyk"].append(source)
        elif mode in ("RGBA", "LA", "PA"):
            kinds["transparent"].append(source)
        elif mode == "1":
            kinds["black_and_white"].append(source)
    told = {
        "deep": ("warning", "have 16 bits a pixel, of which the network sees eight", "look whether they are not too dark"),
        "cmyk": ("note", "are CMYK, for print; they are turned into RGB", "save them as RGB if the colours matter"),
        "transparent": ("note", "have transparency; it shows white", "put them on the ground that the camera will see"),
        "black_and_white": ("note", "hold black and white alone", "are these masks, not photographs?"),
    }  # fmt: skip
    findings = []
    for kind, sources in kinds.items():
        severity, words, mend = told[kind]
        share = f"{percent(len(sources) / len(survey.seen))} of the images"
        examples = tuple(Example(source, survey.seen[source].mode) for source in sorted(sources))
        sentence = f"{many(len(sources), 'image')} ({share}) {words}."
        findings.append(Finding(f"odd.{kind}", severity, len(sources), sentence, mend, examples))
    return findings
