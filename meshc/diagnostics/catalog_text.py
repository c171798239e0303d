"""Codes 1xx: text and YAML."""

from meshc.diagnostics.entry import CatalogEntry

TEXT: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        code="MC101",
        severity="error",
        title="text that is not YAML or JSON",
        explanation=(
            "The file cannot be read beyond this place. "
            "Most often a quote or bracket is not closed, a text with a colon in it is not "
            "quoted, or a line is indented differently from its neighbours or with a tab. "
            "Directives, lines that start with %, are refused too, because specs are always "
            "read as YAML 1.2. "
            "Files named .json must be JSON, without comments and trailing commas."
        ),
        example={"app.yaml": "name: app\nowner: team: payments\n"},
    ),
    CatalogEntry(
        code="MC102",
        severity="error",
        title="key given twice",
        explanation=(
            "A mapping has the same key twice. "
            "Most readers of YAML keep the last one without a word, so that a line somewhere "
            "above silently has no effect. "
            "Keys are compared as text: 1 and '1' are the same key."
        ),
        example={"app.yaml": "name: app\nport: 80\nport: 8080\n"},
    ),
    CatalogEntry(
        code="MC103",
        severity="error",
        title="file too large, too deep, or too long",
        explanation=(
            "A spec file has at most 1 MiB, 100,000 keys and values, 64 levels of nesting, and "
            "65,536 characters in one value. "
            "Real specs stay far below; a file that does not is usually generated wrongly or has "
            "a bracket or quote that is never closed. "
            "The limits keep one file from stopping the build of all."
        ),
        example={"app.yaml": "name: " + "[" * 65 + "]" * 65 + "\n"},
    ),
    CatalogEntry(
        code="MC104",
        severity="error",
        title="anchor, alias or merge key",
        explanation=(
            "YAML's anchors (&name), aliases (*name) and merge keys (<<) are not used in specs: "
            "they hide from a reviewer which value applies, and a few lines of them can stand "
            "for gigabytes. "
            "Write the value out; what all services share belongs in the mesh defaults. "
            "A text that starts with & or * must be in quotes."
        ),
        example={"app.yaml": "name: &name app\n"},
    ),
    CatalogEntry(
        code="MC105",
        severity="error",
        title="tag not allowed",
        explanation=(
            "A tag (!something) asks the reader of a YAML file to build a special object, which "
            "specs do not have. "
            "Only the tags of plain types are accepted, such as !!str and !!int, and only where "
            "the value is of that type. "
            "A text that starts with ! must be in quotes."
        ),
        example={"app.yaml": "name: !team/name app\n"},
    ),
    CatalogEntry(
        code="MC106",
        severity="error",
        title="wrong encoding or forbidden character",
        explanation=(
            "Spec files are UTF-8. "
            "Control characters, half surrogates, and the Unicode line separators on which "
            "programs disagree are refused. "
            "So are the controls for bidirectional text, because they make a review show "
            "something else than what is built. "
            "Where such a character is really meant, write it as an escape in double quotes."
        ),
        example={"app.yaml": 'name: app\nowner: "pay\u202estnem"\n'},
    ),
    CatalogEntry(
        code="MC107",
        severity="error",
        title="not exactly one document in the file",
        explanation=(
            "Each file holds exactly one spec. "
            "This one is empty, has nothing but comments or null in it, or starts a second "
            "document with ---. "
            "Move the second document into its own file."
        ),
        example={"app.yaml": "name: app\n---\nname: other\n"},
    ),
    CatalogEntry(
        code="MC108",
        severity="error",
        title="number that cannot be used",
        explanation=(
            "A number with a leading zero, such as 0755, is octal for some readers of YAML and "
            "decimal for others; write it without the zero, as 0o755, or in quotes. "
            "Infinity, not-a-number, whole numbers beyond 64 bits and numbers of more than 40 "
            "characters are refused because no setting can have them. "
            "A name that looks like a number must be in quotes."
        ),
        example={"app.yaml": "name: app\nport: 0755\n"},
    ),
    CatalogEntry(
        code="MC109",
        severity="error",
        title="key that is not a text",
        explanation=(
            "The keys of a mapping are texts; a list, a mapping, or nothing at all cannot be a "
            "key. "
            "This often comes from a template placeholder such as {{ name }}, which YAML reads "
            "as a mapping within a mapping. "
            "Specs are not templates; a text that starts with a brace must be in quotes."
        ),
        example={"app.yaml": "name: {{ service }}\n"},
    ),
)
