// How long ago something was, with the moment itself on hover.

import { printUtc } from '../format/time';
import { useAge } from './clock';

export function Age({ at }: { at: string }) {
  const age = useAge(at);
  return (
    <time dateTime={at} title={printUtc(at)}>
      {age}
    </time>
  );
}
