// The width that an element has been given, so that charts are drawn in real pixels and their text keeps its size.

import { type RefObject, useLayoutEffect, useRef, useState } from 'react';

export function useWidth<T extends HTMLElement>(): [RefObject<T | null>, number] {
  const element = useRef<T>(null);
  const [width, setWidth] = useState(0);
  // Before the first paint: what is drawn must not come a frame after its place.
  useLayoutEffect(() => {
    const observed = element.current;
    if (observed === null) return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(observed);
    setWidth(Math.floor(observed.getBoundingClientRect().width));
    return () => observer.disconnect();
  }, []);
  return [element, width];
}
