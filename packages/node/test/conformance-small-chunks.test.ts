import { conformance } from './conformance.ts';

// Every read longer than 4 KiB takes several responses here, whatever its content type.
conformance('on disk, read chunks of 4 KiB', {
  args: ['--max-chunk-bytes', '4096'],
});
