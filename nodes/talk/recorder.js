// The microphone as a WAV of 16 bits, made on this page: sound goes to the vehicle's own service and nowhere else.
const MAX_S = 28;

export class Recorder {
  static async start() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true } });
    const context = new AudioContext();
    await context.resume();
    const source = context.createMediaStreamSource(stream);
    await context.audioWorklet.addModule("tap.js");
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    const self = new Recorder();
    Object.assign(self, { stream, context, chunks: [], rate: context.sampleRate, taken: 0 });
    tap.port.onmessage = ({ data }) => {
      if (self.taken < MAX_S * self.rate) { self.chunks.push(data); self.taken += data.length; }
    };
    source.connect(tap);
    return self;
  }

  async stop() {
    for (const track of this.stream.getTracks()) track.stop();
    await this.context.close();
    const [samples, rate] = thinned(this.chunks, this.rate);
    const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
    const word = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
    word(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); word(8, "WAVEfmt ");
    view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
    view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
    word(36, "data"); view.setUint32(40, 2 * samples.length, true);
    samples.forEach((s, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, s)) * 32767, true));
    return new Blob([view], { type: "audio/wav" });
  }
}

// Means of whole numbers of samples, so that the rate lies near 16 kHz and half a minute fits the service's bound.
function thinned(chunks, rate) {
  const by = Math.max(1, Math.floor(rate / 16000)), all = chunks.flatMap((c) => [...c]), out = [];
  for (let i = 0; i + by <= all.length; i += by) out.push(all.slice(i, i + by).reduce((a, b) => a + b, 0) / by);
  return [out, Math.round(rate / by)];
}
