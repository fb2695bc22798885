"""What makes a page usable for everybody, checked as it is rendered: contrast, names, structure, size of targets, the keyboard.

The rules are those of WCAG 2.2 (level AA) that can be decided from the rendered page: 1.1.1, 1.3.1, 1.4.3, 1.4.10, 2.1.1,
2.4.2, 2.4.7, 2.5.8, 3.1.1 and 4.1.2. Each function returns what is wrong, one sentence a defect; an empty list means that
nothing was found.
"""

from playwright.sync_api import Page

LEAST_CONTRAST = 4.5
LEAST_CONTRAST_LARGE = 3.0  # from 24 px, or from 18.66 px in bold type
LEAST_TARGET_PX = 24

# Shared by the scripts below: what is seen, what takes keys, how an element is called in a sentence.
_KIT = """
const STOPS = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]';
const CONTROLS = STOPS + ', iframe';
const modal = [...document.querySelectorAll('dialog[open]')].filter((dialog) => dialog.matches(':modal')).at(-1);
const root = modal ?? document.body;
const VISIBLE = { opacityProperty: true, visibilityProperty: true };
const seen = (element) => element.checkVisibility(VISIBLE) && element.getClientRects().length > 0;
const clipped = (element) => { const box = element.getBoundingClientRect(); return box.width <= 1 || box.height <= 1; };
const called = (element) => {
    const name = (element.getAttribute('aria-label') ?? element.textContent ?? '').trim().replace(/\\s+/g, ' ').slice(0, 40);
    const classes = [...element.classList].map((one) => '.' + one).join('');
    return element.tagName.toLowerCase() + (element.id && '#' + element.id) + classes + (name && ` "${name}"`);
};
"""

_CONTRAST = """([least, leastLarge]) => {
    KIT
    const numbers = (text) => text.match(/-?[\\d.]+(e-?\\d+)?%?/g).map(Number);
    const parse = (text) => {
        if (text === 'transparent') return [0, 0, 0, 0];
        const found = numbers(text.replace(/^color\\(srgb/, ''));
        const scale = text.startsWith('color(srgb') ? 255 : 1;
        return [found[0] * scale, found[1] * scale, found[2] * scale, found[3] ?? 1];
    };
    const over = (top, below) => {
        const alpha = top[3] + below[3] * (1 - top[3]);
        if (!alpha) return [0, 0, 0, 0];
        const mixed = (i) => (top[i] * top[3] + below[i] * below[3] * (1 - top[3])) / alpha;
        return [mixed(0), mixed(1), mixed(2), alpha];
    };
    const paper = matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
    const ground = (element) => {
        let colour = [0, 0, 0, 0];
        for (let one = element; one; one = one.parentElement) {
            colour = over(colour, parse(getComputedStyle(one).backgroundColor));
        }
        return over(colour, paper);
    };
    const light = (colour) => {
        const [r, g, b] = colour.slice(0, 3).map((value) => {
            const share = value / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (one, other) => {
        const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
        return (high + 0.05) / (low + 0.05);
    };
    const wrong = new Set();
    const judge = (element, style, text) => {
        const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
        const wanted = size >= 24 || (bold && size >= 18.66) ? leastLarge : least;
        const below = ground(element);
        const ink = parse(element instanceof SVGElement ? style.fill : style.color);
        const found = ratio(over(ink, below), below);
        if (found >= wanted) return;
        wrong.add(`${called(element)}: contrast ${found.toFixed(2)} of "${text.slice(0, 30)}", ${wanted} is wanted`);
    };
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const text = node.textContent.trim(), element = node.parentElement;
        if (!text || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'TITLE', 'OPTION'].includes(element.tagName)) continue;
        if (!seen(element) || clipped(element) || element.closest(':disabled')) continue;
        judge(element, getComputedStyle(element), text);
    }
    for (const field of root.querySelectorAll('input, select, textarea')) {
        if (!seen(field) || field.disabled) continue;
        const text = field.tagName === 'SELECT' ? field.selectedOptions[0]?.text : field.value;
        if (text) judge(field, getComputedStyle(field), text);
        else if (field.placeholder) judge(field, getComputedStyle(field, '::placeholder'), field.placeholder);
    }
    return [...wrong];
}"""

_NAMES = """(leastPx) => {
    KIT
    const wrong = [];
    const textOf = (ids) => ids.split(/\\s+/).map((id) => document.getElementById(id)?.textContent ?? '').join(' ').trim();
    const spoken = (element) => {
        const parts = [...element.childNodes].map((node) => {
            if (node.nodeType === Node.TEXT_NODE) return node.textContent;
            if (node.nodeType !== Node.ELEMENT_NODE || node.getAttribute('aria-hidden') === 'true') return '';
            return node.getAttribute('aria-label') ?? (node.tagName === 'IMG' ? node.alt : spoken(node));
        });
        return parts.join(' ').trim();
    };
    const name = (element) => {
        const labelled = element.getAttribute('aria-labelledby');
        if (labelled && textOf(labelled)) return textOf(labelled);
        if (element.getAttribute('aria-label')?.trim()) return element.getAttribute('aria-label').trim();
        if (element.labels?.length) return [...element.labels].map((label) => label.textContent).join(' ').trim();
        if (['INPUT', 'SELECT', 'TEXTAREA', 'IFRAME'].includes(element.tagName)) return (element.title ?? '').trim();
        return spoken(element) || (element.title ?? '').trim();
    };
    const NAMED = '[role=listbox], [role=option], [role=img], [role=application], [role=progressbar], dialog, nav, svg';
    for (const element of root.querySelectorAll(CONTROLS + ', ' + NAMED)) {
        if (!seen(element) || element.tagName === 'MAIN') continue;
        if (!name(element)) wrong.push(`${called(element)} has no name`);
    }
    for (const image of root.querySelectorAll('img:not([alt])')) wrong.push(`${called(image)} has no alt`);
    for (const element of root.querySelectorAll('button, input, select, a[href]')) {
        const boxes = [element, ...(element.labels ?? [])].map((one) => one.getBoundingClientRect());
        const inline = element.tagName === 'A' && getComputedStyle(element).display === 'inline';
        if (!seen(element) || inline || clipped(element)) continue;
        const box = boxes.sort((one, other) => Math.min(other.width, other.height) - Math.min(one.width, one.height))[0];
        if (Math.min(box.width, box.height) < leastPx) {
            wrong.push(`${called(element)} is ${box.width.toFixed(0)} x ${box.height.toFixed(0)} px: too small to hit`);
        }
    }
    const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
    const twice = new Set(ids.filter((one, place) => ids.indexOf(one) !== place));
    for (const id of twice) wrong.push(`id ${id} is there twice`);
    for (const attribute of ['aria-labelledby', 'aria-activedescendant', 'aria-describedby', 'for']) {
        for (const element of root.querySelectorAll(`[${attribute}]`)) {
            if (!seen(element)) continue;
            for (const id of element.getAttribute(attribute).split(/\\s+/)) {
                if (!document.getElementById(id)) wrong.push(`${called(element)}: ${attribute} names ${id}, not there`);
            }
        }
    }
    for (const option of root.querySelectorAll('[role=option]')) {
        if (!option.hasAttribute('aria-selected')) wrong.push(`${called(option)}: is it selected?`);
        if (!option.closest('[role=listbox]')) wrong.push(`${called(option)} is in no list box`);
    }
    for (const inner of root.querySelectorAll('a a, a button, button a, button button, [role=img] button')) {
        wrong.push(`${called(inner)} is a control inside a control`);
    }
    if (!document.documentElement.lang) wrong.push('the page does not name its language');
    if (!document.title.trim()) wrong.push('the page has no title');
    if (document.querySelectorAll('main').length !== 1) wrong.push('the page wants one main element');
    const headings = [...root.querySelectorAll('h1, h2, h3, h4')].filter(seen);
    const first = headings.filter((heading) => heading.tagName === 'H1').length;
    if (!modal && first !== 1) wrong.push('the page wants one heading of the first level');
    for (let place = 1; place < headings.length; place += 1) {
        if (Number(headings[place].tagName[1]) > Number(headings[place - 1].tagName[1]) + 1) {
            wrong.push(`${called(headings[place])} leaves out a level of headings`);
        }
    }
    return wrong;
}"""

_STOPS = """() => {
    KIT
    const reachable = (element) => seen(element) && !element.disabled && element.tabIndex >= 0;
    const stops = [...root.querySelectorAll(STOPS)].filter(reachable);
    stops.forEach((element, place) => { element.dataset.stop = place; });
    document.activeElement?.blur();
    return stops.map(called);
}"""

_FOCUSED = """() => {
    const element = document.activeElement;
    const style = element && getComputedStyle(element);
    const shown = Boolean(element) && (element.tagName === 'IFRAME' || style.boxShadow !== 'none'
        || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2));
    return [element?.dataset?.stop ?? null, shown];
}"""


def contrast_defects(page: Page) -> list[str]:
    """Texts that stand out too little from what is behind them; with a dialog open, those of the dialog."""
    return list(page.evaluate(_CONTRAST.replace("KIT", _KIT), [LEAST_CONTRAST, LEAST_CONTRAST_LARGE]))


def name_defects(page: Page) -> list[str]:
    """Controls without a name, images without a text, references to nothing, small targets, headings out of order."""
    return list(page.evaluate(_NAMES.replace("KIT", _KIT), LEAST_TARGET_PX))


def keyboard_defects(page: Page) -> list[str]:
    """Controls that Tab does not reach, and those where nothing shows that they have the focus."""
    stops: list[str] = page.evaluate(_STOPS.replace("KIT", _KIT))
    reached: set[int] = set()
    defects = []
    for _ in range(2 * len(stops) + 20):
        page.keyboard.press("Tab")
        place, is_shown = page.evaluate(_FOCUSED)
        if place is None:
            continue
        if int(place) not in reached and not is_shown:
            defects.append(f"{stops[int(place)]} does not show that it has the focus")
        reached.add(int(place))
        if len(reached) == len(stops):
            break
    return defects + [f"Tab does not reach {name}" for place, name in enumerate(stops) if place not in reached]


def overflow_defects(page: Page) -> list[str]:
    """Whether the page is wider than the window, so that reading it takes scrolling in two directions."""
    wide, window = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    return [f"the page is {wide} px wide, the window {window} px"] if wide > window else []


def accessibility_defects(page: Page) -> list[str]:
    """All of them. The page should be at rest; its focus moves."""
    return contrast_defects(page) + name_defects(page) + overflow_defects(page) + keyboard_defects(page)
