// What is in sight of a list that scrolls, for those that draw only that.

import { type RefObject, type UIEvent, useEffect, useRef, useState } from 'react';

/** Before a list is laid out. */
const HEIGHT_USUAL = 600;

interface Sight {
  /** For the element that scrolls. */
  scroller: RefObject<HTMLDivElement | null>;
  onScroll: (event: UIEvent<HTMLDivElement>) => void;
  /** In pixels: how far it is scrolled, and how high it is. */
  view: { top: number; height: number };
}

export function useSight(): Sight {
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: HEIGHT_USUAL });
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const measure = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  const onScroll = (event: UIEvent<HTMLDivElement>) => {
    const { scrollTop, clientHeight } = event.currentTarget;
    setView({ top: scrollTop, height: clientHeight });
  };
  return { scroller, onScroll, view };
}
