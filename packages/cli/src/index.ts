export * from '@holdfast/node';
