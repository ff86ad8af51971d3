// How the UI is built: everything under /ui/, and in development the API comes from the mock or from a running instance.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

const api = process.env.MILLSTREAM_HTTP ?? 'http://127.0.0.1:8080';

export default defineConfig({
  base: '/ui/',
  plugins: [react()],
  build: {
    target: 'es2022',
    // A source map would double what the binary carries; the sources are in the repository.
    sourcemap: false,
    // Fonts stay files: inlined, they would be in the way of the first paint.
    assetsInlineLimit: 0,
  },
  // The tokens are read by a test, so styles are not left out.
  test: { dir: 'src', css: true },
  server: { proxy: { '/api': api, '/orders': api } },
});
