/** An image that is not answered; its message is the reason, for the person who chose the image. */
export class Refusal extends Error {}
